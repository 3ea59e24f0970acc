import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { formatPublicKey, type NodePublicKey } from '@heddle/proto/keys/public-key';
import { RelayServer } from './relay-server.ts';
import { StunResponder } from './stun-responder.ts';

export interface StartRelayOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** UDP, 0 takes any free port. */
  readonly stunPort: number;
  /** PEM of a certificate and its key; without them plain HTTP. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  /** Default: every node key may log in. */
  readonly isAllowed?: ((key: NodePublicKey) => boolean) | undefined;
}

export interface RunningRelay {
  readonly port: number;
  readonly stunPort: number;
  /** `nodekey:<64 hex>`. */
  readonly publicKey: string;
  /** Resolves when both ports are free again. */
  close(): Promise<void>;
}

/**
 * Starts a relay and a STUN server of its own.
 * @throws {Error} of the operating system when a port is taken; then neither runs.
 * @example const relay = await startRelay({ host: '127.0.0.1', port: 0, stunPort: 0 });
 */
export async function startRelay(o: StartRelayOptions): Promise<RunningRelay> {
  const relay = new RelayServer({ serverKey: undefined, isAllowed: o.isAllowed ?? (() => true) });
  const server: Server = o.tls === undefined ? createHttpServer() : createHttpsServer({ ...o.tls });
  server.on('request', (request, response) => {
    if (!relay.handleRequest(request, response)) response.writeHead(404).end();
  });
  server.on('upgrade', (request, socket, head) => {
    if (!relay.handleUpgrade(request, socket, head)) socket.destroy();
  });
  const stun = await StunResponder.start(o.host, o.stunPort);
  try {
    server.listen(o.port, o.host);
    await once(server, 'listening');
  } catch (error) {
    relay.close();
    await stun.close();
    throw error;
  }
  return {
    port: (server.address() as AddressInfo).port,
    stunPort: stun.port,
    publicKey: formatPublicKey('node', relay.publicKey),
    close: async () => {
      relay.close();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, stun.close()]);
    },
  };
}
