import http from 'node:http';
import https from 'node:https';
import { answerControlToNode, type PingRequest } from '@heddle/proto/control/ping-request';
import type { LogLine } from '../types.ts';
import type { ControlSession } from './h2-session.ts';

const ANSWER_TIMEOUT_MS = 15_000;

/** How a ping that the server asked for went. */
export interface ControlPingResult {
  /** `undefined` when the peer answered. */
  readonly error: string | undefined;
  readonly latencyMs: number;
  /** `1.2.3.4:5` of a direct path, else `''`. */
  readonly endpoint: string;
  /** 0 for a direct path. */
  readonly derpRegionId: number;
}

export interface PingResponderOptions {
  /** Pings a tailnet address; without it such requests are not answered. */
  readonly onPing: ((types: readonly string[], ip: string) => Promise<ControlPingResult>) | undefined;
  readonly log: (line: LogLine) => void;
}

/** Answers the ping requests of one client over all its sessions (docs/spec/control.md#pingrequest). */
export class PingResponder {
  readonly #options: PingResponderOptions;
  #lastUrl = '';

  constructor(options: PingResponderOptions) {
    this.#options = options;
  }

  /** Answers in the background; a failure is logged and has no other effect. A repeated URL is one request. */
  handle(ping: PingRequest, session: ControlSession): void {
    if (ping.url === this.#lastUrl) return;
    this.#lastUrl = ping.url;
    this.#answer(ping, session).catch((error: unknown) => {
      const message = 'a ping request of the coordination server could not be answered';
      this.#options.log({ level: 'warn', message, fields: { reason: error instanceof Error ? error.message : '' } });
    });
  }

  async #answer(ping: PingRequest, session: ControlSession): Promise<void> {
    if (ping.types.length === 0) {
      if (ping.isUrlNoise) await requestOverNoise(session, ping.url, 'HEAD', undefined);
      else await requestPlainly(ping.url, 'HEAD', undefined);
    } else if (ping.types.includes('c2n')) {
      // Whatever the request says, the answer stays inside the encrypted connection.
      const answer = answerControlToNode(ping.payload ?? new Uint8Array(0));
      await requestOverNoise(session, ping.url, 'POST', answer);
    } else if (this.#options.onPing !== undefined) {
      const result = await this.#options.onPing(ping.types, ping.ip);
      const body = Buffer.from(JSON.stringify(formatPingResponse(ping, result)));
      if (ping.isUrlNoise) await requestOverNoise(session, ping.url, 'POST', body);
      else await requestPlainly(ping.url, 'POST', body);
    }
  }
}

function formatPingResponse(ping: PingRequest, result: ControlPingResult): object {
  return {
    Type: ping.types[0] ?? '',
    IP: ping.ip,
    ...(result.error === undefined ? { LatencySeconds: result.latencyMs / 1000 } : { Err: result.error }),
    ...(result.endpoint === '' ? {} : { Endpoint: result.endpoint }),
    ...(result.derpRegionId === 0 ? {} : { DERPRegionID: result.derpRegionId }),
  };
}

async function requestOverNoise(
  session: ControlSession,
  url: string,
  method: 'HEAD' | 'POST',
  body: Uint8Array | undefined,
): Promise<void> {
  const { pathname, search } = new URL(url);
  const { signal } = session;
  await session.request({ method, path: pathname + search, body, timeoutMs: ANSWER_TIMEOUT_MS, signal });
}

async function requestPlainly(url: string, method: string, body: Uint8Array | undefined): Promise<void> {
  const target = new URL(url);
  if (target.protocol !== 'http:' && target.protocol !== 'https:') throw new TypeError('not an http URL');
  const client = target.protocol === 'http:' ? http : https;
  await new Promise<void>((resolve, reject) => {
    const request = client.request(target, { method, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS), agent: false });
    request.on('response', (response) => {
      response.resume();
      resolve();
    });
    request.on('error', reject);
    request.end(body);
  });
}
