import type { Socket } from 'node:net';
import type { LogLine, TailnetConnection, TailnetNode } from '../types.ts';
import { describeDialFailure } from './dial-failure.ts';
import { type ForwardSpec, formatHostPort } from './listen-spec.ts';
import { startLoopbackServer } from './loopback-server.ts';
import { DIAL_TIMEOUT_MS } from './proxy-context.ts';
import { splice } from './splice.ts';

/** A local port that leads to one host and port of the tailnet. */
export interface Forward {
  readonly address: string;
  /** Stops listening and resets every connection through it. */
  close(): Promise<void>;
}

/**
 * Starts a forward. The client is accepted first and dialled for then; when that fails it is reset.
 * @throws {TailnetError} with code `proxy/bad-listen`, `proxy/not-loopback`, `proxy/address-in-use` or
 *   `proxy/listen-failed`.
 */
export async function startForward(
  node: TailnetNode,
  spec: ForwardSpec,
  log: (line: LogLine) => void = () => undefined,
): Promise<Forward> {
  return await startLoopbackServer({
    listen: spec.listen,
    isRemoteAllowed: false,
    onConnection: (client) => void carry(client, node, spec, log),
  });
}

async function carry(
  client: Socket,
  node: TailnetNode,
  spec: ForwardSpec,
  log: (line: LogLine) => void,
): Promise<void> {
  let target: TailnetConnection;
  try {
    target = await node.dial(spec.host, spec.port, { timeoutMs: DIAL_TIMEOUT_MS });
  } catch (error) {
    const { code, message } = describeDialFailure(error);
    log({ level: 'warn', message: `Cannot forward to ${formatHostPort(spec)}: ${message}`, fields: { code } });
    client.resetAndDestroy();
    return;
  }
  splice({ client, target, onSent: ignore, onReceived: ignore, onEnd: ignore });
}

function ignore(): void {}
