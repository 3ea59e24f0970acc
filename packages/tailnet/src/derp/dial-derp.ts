import type { Socket } from 'node:net';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import type { DerpClient } from '@heddle/proto/derp/derp-client';
import { TailnetError } from '../tailnet-error.ts';
import { logInToRelay } from './relay-login.ts';
import { connectRelay } from './relay-tcp.ts';
import { secureRelay } from './relay-tls.ts';
import { chooseTransport, type RelayTransport, relayPort } from './relay-transport.ts';
import { upgradeToDerp } from './relay-upgrade.ts';

export interface DialOptions {
  /** In the order to try. */
  readonly nodes: readonly DerpNode[];
  /** The region's preferred node: told to the others, for their statistics. */
  readonly idealNode: string | undefined;
  readonly controlUrl: string;
  /** PEM of authorities that are trusted besides the usual ones. */
  readonly tlsCa: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A fresh machine for every attempt. */
  readonly createClient: () => DerpClient;
  /** All nodes together: names, TCP, TLS, HTTP and login. */
  readonly timeoutMs: number;
  readonly onNodeFailure: (node: DerpNode, error: TailnetError) => void;
  readonly signal: AbortSignal;
}

/** A logged-in connection. The socket is paused and the caller's. */
export interface DerpConnection {
  readonly socket: Socket;
  readonly client: DerpClient;
  readonly node: DerpNode;
}

/**
 * Connects and logs in to the first node that allows it. A node that fails at any step, not only at TCP, is passed
 * over for the next; while others are left none may use more than its share of the time.
 * @throws {TailnetError} of the node that got furthest: `derp/refused`, `derp/unreachable`, `derp/timeout`,
 * `derp/tls-handshake`, `derp/tls-certificate`, `derp/not-a-relay`, `derp/not-authorised`; `derp/no-nodes` for a region
 * without relays; `derp/closed` when the signal aborts.
 */
export async function dialDerp(o: DialOptions): Promise<DerpConnection> {
  const endsAtMs = performance.now() + o.timeoutMs;
  let best: TailnetError | undefined;
  for (const [i, node] of o.nodes.entries()) {
    const shareMs = Math.max(0, endsAtMs - performance.now()) / (o.nodes.length - i);
    try {
      return await dialNode(node, o, shareMs);
    } catch (error) {
      if (o.signal.aborted) throw new TailnetError('derp/closed', 'Dialling the relay was cancelled', { cause: error });
      if (!(error instanceof TailnetError)) throw error;
      o.onNodeFailure(node, error);
      if (best === undefined || progressOf(error) >= progressOf(best)) best = error;
    }
  }
  throw best ?? new TailnetError('derp/no-nodes', 'The region has no relay node');
}

/** How far an attempt came: its error says most about what to mend. */
function progressOf(error: TailnetError): number {
  const steps = ['derp/unreachable', 'derp/refused', 'derp/timeout', 'derp/tls-handshake', 'derp/tls-certificate'];
  const step = steps.indexOf(error.code);
  return step < 0 ? steps.length : step;
}

async function dialNode(node: DerpNode, o: DialOptions, shareMs: number): Promise<DerpConnection> {
  const transport = chooseTransport(node, o);
  if (transport !== 'tls-or-plain') return dialWith(node, transport, o, shareMs);
  const startedAtMs = performance.now();
  try {
    return await dialWith(node, 'tls', o, shareMs);
  } catch (error) {
    if (!(error instanceof TailnetError) || error.code !== 'derp/not-tls') throw error;
    return dialWith(node, 'plain', o, shareMs - (performance.now() - startedAtMs));
  }
}

async function dialWith(
  node: DerpNode,
  transport: 'tls' | 'plain',
  o: DialOptions,
  shareMs: number,
): Promise<DerpConnection> {
  const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(shareMs)));
  const signal = AbortSignal.any([o.signal, timeout]);
  try {
    return await connectAndLogIn(node, transport, o, signal);
  } catch (error) {
    if (!timeout.aborted || o.signal.aborted) throw error;
    const message = `Relay "${node.hostName}" did not finish the login in ${Math.round(shareMs)} ms`;
    throw new TailnetError('derp/timeout', message, { isRetryable: true, cause: error });
  }
}

async function connectAndLogIn(
  node: DerpNode,
  transport: 'tls' | 'plain',
  o: DialOptions,
  signal: AbortSignal,
): Promise<DerpConnection> {
  const port = relayPort(node, transport);
  const tcp = await connectRelay(node, port, signal);
  // Destroying the innermost socket ends every step that waits on it.
  const abort = () => tcp.destroy(new Error('The dial has ended', { cause: signal.reason }));
  signal.addEventListener('abort', abort, { once: true });
  const client = o.createClient();
  try {
    signal.throwIfAborted();
    const socket = transport === 'tls' ? await secureRelay(tcp, node, o.tlsCa) : tcp;
    const idealNode = o.idealNode === node.name ? undefined : o.idealNode;
    const head = await upgradeToDerp(socket, node, { port, defaultPort: defaultPort(transport), idealNode });
    await logInToRelay(socket, head, client, node);
    return { socket, client, node };
  } catch (error) {
    client.close();
    tcp.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function defaultPort(transport: RelayTransport): number {
  return transport === 'tls' ? 443 : 80;
}
