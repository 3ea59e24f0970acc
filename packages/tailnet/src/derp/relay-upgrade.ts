import { request } from 'node:http';
import type { Socket } from 'node:net';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import { TailnetError } from '../tailnet-error.ts';

/**
 * Turns an HTTP/1.1 connection into a DERP stream. Returns the bytes behind the response head: the server speaks
 * first, so its first frame usually lies there.
 * @throws {TailnetError} `derp/not-a-relay` for any answer but the upgrade, `derp/unreachable` when the connection ends.
 */
export async function upgradeToDerp(
  socket: Socket,
  node: DerpNode,
  o: { readonly port: number; readonly defaultPort: number; readonly idealNode: string | undefined },
): Promise<Uint8Array> {
  const name = node.hostName.includes(':') ? `[${node.hostName}]` : node.hostName;
  const headers = {
    Host: o.port === o.defaultPort ? name : `${name}:${o.port}`,
    Upgrade: 'DERP',
    Connection: 'Upgrade',
    ...(o.idealNode === undefined ? {} : { 'Ideal-Node': o.idealNode }),
  };
  return new Promise((resolve, reject) => {
    const sent = request({ createConnection: () => socket, path: '/derp', headers });
    sent.once('upgrade', (response, _socket, head) => {
      if (response.headers.upgrade?.toLowerCase() === 'derp') resolve(head);
      else reject(notARelay(node, `it upgrades to "${response.headers.upgrade}"`));
    });
    sent.once('response', (response) => reject(notARelay(node, `it answers with HTTP status ${response.statusCode}`)));
    sent.on('error', (error) => reject(toUpgradeError(node, error)));
    sent.end();
  });
}

function toUpgradeError(node: DerpNode, error: Error): TailnetError {
  // Some errors have numbers for codes (DOMException).
  const code = 'code' in error ? String(error.code) : '';
  if (code.startsWith('HPE_')) return notARelay(node, 'its answer is not HTTP');
  const message = `Connection to relay "${node.hostName}" ended before the upgrade`;
  return new TailnetError('derp/unreachable', message, { isRetryable: true, cause: error });
}

function notARelay(node: DerpNode, why: string): TailnetError {
  return new TailnetError('derp/not-a-relay', `Server "${node.hostName}" is not a relay: ${why}`);
}
