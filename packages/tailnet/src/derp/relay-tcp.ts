import { lookup } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import type { DerpNode } from '@heddle/proto/control/derp-map';
import { parseAddress } from '@heddle/proto/ip/address';
import { TailnetError } from '../tailnet-error.ts';

/** Name lookup and TCP of one node together. */
export const NODE_CONNECT_TIMEOUT_MS = 1500;
/** Addresses of one family that are tried, all at once. */
const FAMILY_ADDRESSES_MAX = 2;

/**
 * Opens a TCP connection to a node. All its addresses start together; the first that connects wins and the others
 * are destroyed. The socket has an error listener, so that a failure between two owners does not end the process.
 * @throws {TailnetError} `derp/refused` when the host is up and refuses, else `derp/unreachable`.
 */
export async function connectRelay(node: DerpNode, port: number, signal: AbortSignal): Promise<Socket> {
  const race = new AbortController();
  const limit = AbortSignal.any([signal, race.signal, AbortSignal.timeout(NODE_CONNECT_TIMEOUT_MS)]);
  const families = [
    ...dialFamily({ fixed: node.ipv4, hostName: node.hostName, family: 4, port, signal: limit }),
    ...dialFamily({ fixed: node.ipv6, hostName: node.hostName, family: 6, port, signal: limit }),
  ];
  try {
    return await Promise.any(families);
  } catch (error) {
    throw toUnreachable(node, port, error);
  } finally {
    race.abort(new Error('Another address was faster'));
  }
}

interface FamilyTarget {
  /** An address, empty for DNS, anything else disables the family. */
  readonly fixed: string;
  readonly hostName: string;
  readonly family: 4 | 6;
  readonly port: number;
  readonly signal: AbortSignal;
}

function dialFamily(target: FamilyTarget): Promise<Socket>[] {
  if (target.fixed === '') return [dialByName(target)];
  const address = parseAddress(target.fixed);
  return address?.family === target.family ? [dialAddress(address.text, target)] : [];
}

async function dialByName(target: FamilyTarget): Promise<Socket> {
  const found = await orAborted(lookup(target.hostName, { family: target.family, all: true }), target.signal);
  return Promise.any(found.slice(0, FAMILY_ADDRESSES_MAX).map(({ address }) => dialAddress(address, target)));
}

/** DNS lookups cannot be cancelled; their answer is then ignored. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = withReject();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function withReject(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<never>((_resolve, rejectPromise) => {
    reject = rejectPromise;
  });
  return { promise, reject };
}

async function dialAddress(host: string, target: FamilyTarget): Promise<Socket> {
  target.signal.throwIfAborted();
  const socket = connect({ host, port: target.port, noDelay: true });
  return new Promise((resolve, reject) => {
    const abort = () => socket.destroy(target.signal.reason as Error);
    target.signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      target.signal.removeEventListener('abort', abort);
      resolve(socket);
    });
    socket.on('error', reject);
  });
}

function toUnreachable(node: DerpNode, port: number, cause: unknown): TailnetError {
  const at = `"${node.hostName}" port ${port}`;
  const codes = errorCodes(cause);
  if (codes.includes('ECONNREFUSED')) {
    return new TailnetError('derp/refused', `Relay ${at} refuses connections`, { isRetryable: true, cause });
  }
  const why = codes.length === 0 ? `no answer in ${NODE_CONNECT_TIMEOUT_MS} ms` : codes.join(', ');
  return new TailnetError('derp/unreachable', `Relay ${at} cannot be reached: ${why}`, { isRetryable: true, cause });
}

function errorCodes(error: unknown): string[] {
  if (error instanceof AggregateError) return error.errors.flatMap(errorCodes);
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? [code] : [];
}
