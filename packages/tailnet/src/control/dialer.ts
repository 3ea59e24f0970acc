import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { formatBase64 } from '@heddle/proto/bytes/base64';
import { CAPABILITY_VERSION } from '@heddle/proto/control/requests';
import { parseServerKey, SERVER_KEY_BYTES_MAX } from '@heddle/proto/control/server-key';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import type { MachinePrivateKey } from '@heddle/proto/keys/private-key';
import type { MachinePublicKey } from '@heddle/proto/keys/public-key';
import { NoiseInitiator, type NoiseSession, RESPONSE_BYTES } from '@heddle/proto/noise/handshake';
import { ControlError, toControlError } from './control-error.ts';
import { withDeadline } from './deadline.ts';
import { NoiseDuplex } from './noise-duplex.ts';

export interface DialerOptions {
  readonly controlUrl: URL;
  /** PEM of a CA besides those of the system. */
  readonly tlsCa: string | undefined;
  readonly machineKey: MachinePrivateKey;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  /** How long a server may take to answer a handshake made with a remembered key. */
  readonly rememberedKeyMs: number;
}

/** What a handshake with a key that is no longer the server's can end in. */
const HANDSHAKE_CODES: ReadonlySet<string> = new Set([
  'control/handshake-failed',
  'control/key-mismatch',
  'control/timeout',
]);

interface Upgraded {
  readonly socket: Duplex;
  readonly head: Uint8Array;
}

/**
 * Opens encrypted connections to one coordination server (docs/spec/ts2021.md). The server's key is remembered from one
 * good handshake to the next, and asked for again after a bad one: a server with a new key file looks like that.
 */
export class ControlDialer {
  readonly #options: DialerOptions;
  readonly #host: string;
  #rememberedKey: MachinePublicKey | undefined;

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#host = options.controlUrl.host;
  }

  /**
   * Dials once, or twice when a remembered key no longer fits.
   * @param onHandshake Called when the transport stands and the handshake begins.
   * @throws {ControlError} with any code of docs/spec/control.md#errors about reaching a server.
   */
  async connect(signal: AbortSignal, onHandshake: () => void): Promise<NoiseDuplex> {
    const key = this.#rememberedKey;
    this.#rememberedKey = undefined;
    try {
      if (key !== undefined) return await this.#connectRemembered(key, signal, onHandshake);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toControlError(error, this.#host);
      if (!HANDSHAKE_CODES.has(failure.code)) throw failure;
    }
    try {
      return await this.#connectOnce(undefined, signal, onHandshake);
    } catch (error) {
      signal.throwIfAborted();
      throw toControlError(error, this.#host);
    }
  }

  /** Some servers keep silent when they cannot read the initiation, so the wait is short. */
  #connectRemembered(key: MachinePublicKey, signal: AbortSignal, onHandshake: () => void): Promise<NoiseDuplex> {
    const options = { timeoutMs: this.#options.rememberedKeyMs, signal, what: `the handshake of ${this.#host}` };
    return withDeadline(options, (innerSignal) => this.#connectOnce(key, innerSignal, onHandshake));
  }

  async #connectOnce(
    rememberedKey: MachinePublicKey | undefined,
    signal: AbortSignal,
    onHandshake: () => void,
  ): Promise<NoiseDuplex> {
    const { machineKey, crypto, rng } = this.#options;
    // One socket serves the question for the key and then the upgrade: that saves a TCP and TLS handshake.
    const agent = this.#createAgent();
    try {
      const serverKey = rememberedKey ?? (await this.#fetchKey(agent, signal));
      onHandshake();
      const capabilityVersion = CAPABILITY_VERSION;
      const initiator = new NoiseInitiator({ machineKey, serverKey, capabilityVersion, crypto, rng });
      const { socket, head } = await this.#upgrade(agent, initiator, signal);
      const duplex = await finishHandshake(socket, head, initiator, crypto, signal);
      this.#rememberedKey = serverKey;
      return duplex;
    } finally {
      agent.destroy();
    }
  }

  #createAgent(): http.Agent {
    const options = { keepAlive: true, maxSockets: 1, noDelay: true };
    if (this.#options.controlUrl.protocol === 'http:') return new http.Agent(options);
    const ca = this.#options.tlsCa;
    // HTTP/2 cannot do the upgrade, so nothing newer is offered.
    return new https.Agent({
      ...options,
      ALPNProtocols: ['http/1.1'],
      ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
    });
  }

  async #fetchKey(agent: http.Agent, signal: AbortSignal): Promise<MachinePublicKey> {
    const request = this.#request({ path: `/key?v=${CAPABILITY_VERSION}`, agent, signal });
    request.end();
    const [response] = (await once(request, 'response', { signal })) as [http.IncomingMessage];
    this.#refuseStatus(response, 200);
    const text = await readText(response, SERVER_KEY_BYTES_MAX);
    if (text === undefined) throw notCoordination(this.#host, 'the answer to /key is too long');
    const key = parseServerKey(text);
    if (key === 'not-json') throw notCoordination(this.#host, 'it answers with something else');
    if (key !== 'unsupported') return key;
    throw new ControlError(
      'control/unsupported-server',
      `The server at ${this.#host} does not offer the Noise protocol`,
    );
  }

  async #upgrade(agent: http.Agent, initiator: NoiseInitiator, signal: AbortSignal): Promise<Upgraded> {
    const headers = {
      Upgrade: 'tailscale-control-protocol',
      Connection: 'upgrade',
      'X-Tailscale-Handshake': formatBase64(initiator.initiation),
      'Content-Length': '0',
    };
    const request = this.#request({ path: '/ts2021', method: 'POST', headers, agent, signal });
    return new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('upgrade', (_response, socket: Socket, head: Buffer) => {
        // The request's signal would destroy the socket after the handshake too; from here the duplex owns it.
        socket.setTimeout(0);
        socket.setKeepAlive(true, 30_000);
        resolve({ socket, head });
      });
      request.on('response', (response) => {
        response.resume();
        try {
          this.#refuseStatus(response, 101);
        } catch (error) {
          reject(error);
        }
        request.destroy();
      });
      request.end();
    });
  }

  #request(options: http.RequestOptions): http.ClientRequest {
    const { controlUrl } = this.#options;
    const url = new URL(options.path as string, controlUrl);
    const request = (controlUrl.protocol === 'http:' ? http : https).request(url, options);
    // The waiting code hears of failures too; this one stays when it has stopped listening.
    request.on('error', () => undefined);
    return request;
  }

  #refuseStatus(response: http.IncomingMessage, expected: number): void {
    const status = response.statusCode ?? 0;
    if (status === expected) return;
    const options = { isRetryable: status >= 500 || status === 429 };
    if (status >= 300 && status < 400) {
      const target = URL.canParse(response.headers.location ?? '', this.#options.controlUrl.href)
        ? new URL(response.headers.location as string, this.#options.controlUrl).origin
        : 'an unknown place';
      const message = `${this.#options.controlUrl.origin} redirects to ${target}: use the URL of the server itself`;
      throw new ControlError('control/redirected', message);
    }
    if (expected === 101) {
      const hint = 'is there a proxy that does not pass on "Upgrade"?';
      const message = `The server at ${this.#host} refused the upgrade with status ${status}: ${hint}`;
      throw new ControlError('control/upgrade-refused', message, options);
    }
    if (status >= 500) {
      throw new ControlError(
        'control/server-error',
        `The server at ${this.#host} answers with status ${status}`,
        options,
      );
    }
    throw notCoordination(this.#host, `status ${status} for /key`);
  }
}

async function finishHandshake(
  socket: Duplex,
  head: Uint8Array,
  initiator: NoiseInitiator,
  crypto: CryptoProvider,
  signal: AbortSignal,
): Promise<NoiseDuplex> {
  try {
    const bytes = await readAtLeast(socket, head, RESPONSE_BYTES, signal);
    const session = requireSession(initiator.readResponse(bytes.subarray(0, RESPONSE_BYTES)));
    return new NoiseDuplex({ socket, session, crypto, head: bytes.subarray(RESPONSE_BYTES), isClient: true });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function requireSession(result: ReturnType<NoiseInitiator['readResponse']>): NoiseSession {
  if (typeof result !== 'string') return result;
  if (result === 'damaged') {
    throw new ControlError('control/key-mismatch', 'The server does not own the key that it published');
  }
  const message = `The server answered the encryption handshake wrongly: ${result}`;
  throw new ControlError('control/handshake-failed', message, { isRetryable: true });
}

/** Reads until there are `count` bytes; what came behind them is returned too. Leaves the socket paused. */
async function readAtLeast(socket: Duplex, head: Uint8Array, count: number, signal: AbortSignal): Promise<Uint8Array> {
  let bytes = head;
  while (bytes.length < count) {
    signal.throwIfAborted();
    const chunk = (socket.read() as Buffer | null) ?? undefined;
    if (chunk !== undefined) bytes = Buffer.concat([bytes, chunk]);
    else if (socket.readableEnded || socket.destroyed) throw closedEarly();
    else
      await Promise.race([
        once(socket, 'readable', { signal }),
        once(socket, 'end', { signal }),
        once(socket, 'close', { signal }),
      ]);
  }
  return bytes;
}

function closedEarly(): ControlError {
  // Servers close instead of saying what they dislike.
  const message = 'The server closed the connection during the handshake: its key changed, or it refuses our version';
  return new ControlError('control/handshake-failed', message, { isRetryable: true });
}

/** Undefined for more than `bytesMax`. */
async function readText(response: http.IncomingMessage, bytesMax: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function notCoordination(host: string, reason: string): ControlError {
  return new ControlError('control/not-a-coordination-server', `No coordination server at ${host}: ${reason}`);
}
