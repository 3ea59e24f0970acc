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
import { NoiseDuplex } from './noise-duplex.ts';

export interface DialerOptions {
  readonly controlUrl: URL;
  /** PEM of a CA besides those of the system. */
  readonly tlsCa: string | undefined;
  readonly machineKey: MachinePrivateKey;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
}

/**
 * A server that cannot read our initiation may keep silent instead of closing, as after a restart with a new key: then
 * the key is asked for again.
 */
const HANDSHAKE_ANSWER_MS = 2_000;

interface Upgraded {
  readonly socket: Duplex;
  readonly head: Uint8Array;
}

/**
 * Opens encrypted connections to one coordination server (docs/spec/ts2021.md). Remembers the server's key until a
 * handshake fails with it, which is what a server with a new key file looks like.
 */
export class ControlDialer {
  readonly #options: DialerOptions;
  readonly #host: string;
  #serverKey: MachinePublicKey | undefined;

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
    const isRemembered = this.#serverKey !== undefined;
    try {
      return await this.#connectOnce(signal, onHandshake);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toControlError(error, this.#host);
      const isHandshake = failure.code === 'control/handshake-failed' || failure.code === 'control/key-mismatch';
      if (!isHandshake) throw failure;
      this.#serverKey = undefined;
      if (!isRemembered) throw failure;
    }
    return this.#connectOnce(signal, onHandshake);
  }

  async #connectOnce(signal: AbortSignal, onHandshake: () => void): Promise<NoiseDuplex> {
    const { machineKey, crypto, rng } = this.#options;
    // One socket serves the question for the key and then the upgrade: that saves a TCP and TLS handshake.
    const agent = this.#createAgent();
    try {
      this.#serverKey ??= await this.#fetchKey(agent, signal);
      onHandshake();
      const capabilityVersion = CAPABILITY_VERSION;
      const initiator = new NoiseInitiator({ machineKey, serverKey: this.#serverKey, capabilityVersion, crypto, rng });
      const { socket, head } = await this.#upgrade(agent, initiator, signal);
      return await finishHandshake(socket, head, initiator, crypto, signal);
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
    const key = parseServerKey(await readText(response, SERVER_KEY_BYTES_MAX));
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
    return (controlUrl.protocol === 'http:' ? http : https).request(url, options);
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
    const bytes = await answerOf(socket, head, signal);
    const session = requireSession(initiator.readResponse(bytes.subarray(0, RESPONSE_BYTES)));
    return new NoiseDuplex({ socket, session, crypto, head: bytes.subarray(RESPONSE_BYTES), isClient: true });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function answerOf(socket: Duplex, head: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  const silence = AbortSignal.timeout(HANDSHAKE_ANSWER_MS);
  try {
    return await readAtLeast(socket, head, RESPONSE_BYTES, AbortSignal.any([signal, silence]));
  } catch (error) {
    if (!silence.aborted || signal.aborted) throw error;
    const message = 'The server did not answer the encryption handshake: its key changed, or it is overloaded';
    throw new ControlError('control/handshake-failed', message, { isRetryable: true });
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

async function readText(response: http.IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax)
      throw new ControlError('control/not-a-coordination-server', 'The answer to /key is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function notCoordination(host: string, reason: string): ControlError {
  return new ControlError('control/not-a-coordination-server', `No coordination server at ${host}: ${reason}`);
}
