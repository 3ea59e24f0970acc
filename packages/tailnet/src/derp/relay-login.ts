import type { Socket } from 'node:net';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import type { DerpClient, DerpFailure } from '@heddle/proto/derp/derp-client';
import { TailnetError } from '../tailnet-error.ts';

/**
 * Runs the client machine until the relay has accepted it. Afterwards the socket is paused, nothing of it is lost,
 * and the packets that came in the same bytes wait in the machine.
 * @throws {TailnetError} `derp/not-authorised` when the relay closes after it has seen who we are, `derp/not-a-relay`
 * when it speaks something else, `derp/unreachable` when it closes before that.
 */
export async function logInToRelay(
  socket: Socket,
  head: Uint8Array,
  client: DerpClient,
  node: DerpNode,
): Promise<void> {
  let hasIntroduced = false;
  let onEnd = () => {};
  let onData = (_chunk: Uint8Array) => {};
  try {
    await new Promise<void>((resolve, reject) => {
      onEnd = () => reject(closedByRelay(node, hasIntroduced));
      onData = (chunk) => {
        client.handleBytes(chunk, performance.now());
        for (let bytes = client.pollTransmit(); bytes !== undefined; bytes = client.pollTransmit()) {
          hasIntroduced = true;
          socket.write(bytes);
        }
        const failure = loginOutcome(client);
        if (failure !== undefined) reject(loginFailed(node, failure));
        else if (client.isReady) resolve();
      };
      socket.once('end', onEnd);
      socket.once('close', onEnd);
      socket.on('data', onData);
      onData(head);
    });
  } finally {
    socket.pause();
    socket.off('end', onEnd);
    socket.off('close', onEnd);
    socket.off('data', onData);
  }
  if (socket.destroyed) throw closedByRelay(node, false);
}

function loginOutcome(client: DerpClient): DerpFailure | undefined {
  for (let event = client.pollEvent(); event !== undefined; event = client.pollEvent()) {
    if (event.kind === 'failed') return event.reason;
    if (event.kind === 'ready') return undefined;
  }
  return undefined;
}

function closedByRelay(node: DerpNode, hasIntroduced: boolean): TailnetError {
  const [code, why] = hasIntroduced
    ? ['derp/not-authorised', 'closed the connection when it saw our node key; is this node registered there?']
    : ['derp/unreachable', 'closed the connection'];
  return new TailnetError(code as string, `Relay "${node.hostName}" ${why}`, { isRetryable: true });
}

function loginFailed(node: DerpNode, failure: DerpFailure): TailnetError {
  return new TailnetError('derp/not-a-relay', `Login to relay "${node.hostName}" failed: ${failure}`);
}
