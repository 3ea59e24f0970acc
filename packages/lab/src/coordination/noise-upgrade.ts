import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { parseBase64 } from '@heddle/proto/bytes/base64';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { generatePrivateKey, type MachinePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { encodeEarlyPayload } from '@heddle/proto/noise/early-payload';
import { answerInitiation } from '@heddle/proto/noise/handshake';
import { NoiseDuplex } from '@heddle/tailnet/control/noise-duplex';

/** A machine whose key is proven, and the stream to it. */
export interface NoiseConnection {
  readonly machineKey: string;
  readonly capabilityVersion: number;
  readonly stream: NoiseDuplex;
}

export interface NoiseUpgradeOptions {
  readonly serverKey: MachinePrivateKey;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  /** Real servers differ in whether they send the early payload. */
  readonly hasEarlyPayload: boolean;
}

const PROTOCOL = 'tailscale-control-protocol';

/**
 * Answers `POST /ts2021` (docs/spec/ts2021.md). Without a good handshake the socket gets a 400 and is closed, and the
 * reason is returned. Takes the socket.
 */
export function acceptUpgrade(
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  options: NoiseUpgradeOptions,
): NoiseConnection | string {
  const refusal = checkRequest(request);
  const header = request.headers['x-tailscale-handshake'];
  const initiation = typeof header === 'string' ? parseBase64(header) : undefined;
  if (refusal !== undefined || initiation === undefined) return refuse(socket, refusal ?? 'missing handshake header');
  const answer = answerInitiation(initiation, options);
  if (typeof answer === 'string') return refuse(socket, `handshake ${answer}`);
  const { response, session } = answer;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${PROTOCOL}\r\nConnection: upgrade\r\n\r\n`);
  socket.write(response);
  socket.setNoDelay(true);
  const stream = new NoiseDuplex({ socket, session, crypto: options.crypto, head, isClient: false });
  if (options.hasEarlyPayload) stream.write(createEarlyPayload(options));
  const machineKey = formatPublicKey('machine', session.remoteKey);
  return { machineKey, capabilityVersion: session.capabilityVersion, stream };
}

function checkRequest(request: IncomingMessage): string | undefined {
  const path = request.url?.split('?')[0];
  if (path !== '/ts2021' || request.method !== 'POST') return 'no such upgrade';
  return request.headers.upgrade?.toLowerCase() === PROTOCOL ? undefined : 'unknown next protocol';
}

function refuse(socket: Socket, reason: string): string {
  socket.end(`HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`);
  return reason;
}

/** A key with which clients may prove that they own their node key. None does. */
function createEarlyPayload({ crypto, rng }: NoiseUpgradeOptions): Uint8Array {
  const { publicKey } = generatePrivateKey('challenge', crypto, rng);
  return encodeEarlyPayload(JSON.stringify({ nodeKeyChallenge: formatPublicKey('challenge', publicKey) }));
}
