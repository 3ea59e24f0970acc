/**
 * The calls of a team server that a node makes.
 *
 * Retries: a registration is never sent twice, because each costs one of five an hour and may leave a node behind; a
 * configuration is asked for three times when the network or the server (5xx) is in trouble; a heartbeat once, its
 * timer comes again. Status 429 is for the caller to wait out.
 */

import {
  type CheckedIn,
  type NodeId,
  type NodePackage,
  parseCheckedIn,
  parseNodePackage,
  parseRegistered,
  type Registered,
} from './api-answers.ts';
import type { ApiBase } from './api-base.ts';
import { toApiFailure } from './api-failure.ts';
import type { HttpAnswer, HttpExchange } from './http-exchange.ts';
import { RegistrationError } from './registration-error.ts';
import type { TeamName } from './team-name.ts';
import type { RegistrationCredential } from './token-source.ts';

export interface ApiClientOptions {
  readonly base: ApiBase;
  /** PEM of an authority trusted beside those of Node.js. */
  readonly tlsCa: string | undefined;
  /** Of heddle, for the server's log. */
  readonly version: string;
  /** Of one attempt; `undefined` for 30 s. */
  readonly timeoutMs: number | undefined;
  readonly exchange: HttpExchange;
  readonly sleep: (delayMs: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/** What a node wants to be. */
export interface RegisterRequest {
  readonly team: TeamName;
  readonly nodeName: string;
  readonly lighthouse: LighthouseRequest | undefined;
}

/** How others reach a lighthouse. */
export interface LighthouseRequest {
  /** IPv4 or IPv6. */
  readonly publicIp: string | undefined;
  readonly fqdn: string | undefined;
  readonly externalPort: number;
}

/** A node that calls for itself. */
export interface NodeCredentials {
  readonly team: TeamName;
  readonly nodeId: NodeId;
  readonly apiToken: string;
}

const TIMEOUT_MS = 30_000;
/** Room for an authority bundle, a certificate and a configuration at their bounds. */
const PACKAGE_BYTES_MAX = 2_097_152;
const HEARTBEAT_BYTES_MAX = 65_536;
const DOWNLOAD_DELAYS_MS: readonly number[] = [1000, 3000];

/** Talks to one team server. Every method fails with a {@link RegistrationError}, or the reason of the signal. */
export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  /**
   * Makes a node. The answer holds its private key and its token.
   * @throws {RegistrationError} `registration/answer-lost` where the node may exist although its answer did not arrive.
   */
  async register(request: RegisterRequest, credential: RegistrationCredential): Promise<Registered> {
    const isToken = credential.kind === 'registration-token';
    const body = {
      ...(isToken ? { organization_slug: request.team } : {}),
      node_name: request.nodeName,
      ...(isToken ? { registration_token: credential.token } : {}),
      ...lighthouseFields(request.lighthouse),
    };
    try {
      const answer = await this.#send({
        method: 'POST',
        path: `/api/org/${request.team}/nodes/register/`,
        bearer: isToken ? undefined : credential.token,
        secrets: [credential.token],
        body,
        answerBytesMax: PACKAGE_BYTES_MAX,
        what: 'the registration',
      });
      return parseRegistered(answer, this.#options.base.host);
    } catch (error) {
      throw this.#orLost(error);
    }
  }

  /** Fetches certificate, key and configuration as they are now. */
  async downloadConfig(node: NodeCredentials): Promise<NodePackage> {
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await this.#send({
          ...callOf(node, 'download_config/?format=json', 'the configuration'),
          method: 'GET',
          body: undefined,
          answerBytesMax: PACKAGE_BYTES_MAX,
        });
        return parseNodePackage(answer, this.#options.base.host);
      } catch (error) {
        const delayMs = DOWNLOAD_DELAYS_MS[attempt];
        if (delayMs === undefined || !isTransient(error)) throw error;
        await this.#options.sleep(delayMs, this.#options.signal);
      }
    }
  }

  /** Says that the node lives, and learns whether it is still wanted. */
  async checkin(node: NodeCredentials, uptimeSeconds: number): Promise<CheckedIn> {
    const answer = await this.#send({
      ...callOf(node, 'checkin/', 'the heartbeat'),
      method: 'POST',
      body: { version: this.#options.version, uptime: Math.floor(uptimeSeconds) },
      answerBytesMax: HEARTBEAT_BYTES_MAX,
    });
    return parseCheckedIn(answer, this.#options.base.host);
  }

  async #send(call: Call): Promise<HttpAnswer> {
    const { base, version, tlsCa, signal } = this.#options;
    const answer = await this.#options.exchange({
      method: call.method,
      url: `${base.url}${call.path}`,
      headers: {
        accept: 'application/json',
        'user-agent': `heddle/${version}`,
        ...(call.bearer === undefined ? {} : { authorization: `Bearer ${call.bearer}` }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: call.body === undefined ? undefined : JSON.stringify(call.body),
      tlsCa,
      answerBytesMax: call.answerBytesMax,
      timeoutMs: this.#options.timeoutMs ?? TIMEOUT_MS,
      signal,
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw toApiFailure(answer, { host: base.host, what: call.what, secrets: call.secrets });
  }

  /** After the request was sent, silence does not mean that nothing happened. */
  #orLost(error: unknown): unknown {
    if (!(error instanceof RegistrationError) || !LOST.has(error.code)) return error;
    const message = `${error.message}; the server may have made the node all the same`;
    return new RegistrationError('registration/answer-lost', message);
  }
}

interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly bearer: string | undefined;
  readonly secrets: readonly string[];
  readonly body: object | undefined;
  readonly answerBytesMax: number;
  readonly what: string;
}

const LOST: ReadonlySet<string> = new Set(['registration/timeout', 'registration/connection-lost']);

/** True for trouble that passes by itself: the network, or a server's 5xx. */
export function isTransient(error: unknown): error is RegistrationError {
  return error instanceof RegistrationError && error.isRetryable && error.status !== 429;
}

function callOf(
  node: NodeCredentials,
  action: string,
  what: string,
): Pick<Call, 'path' | 'bearer' | 'secrets' | 'what'> {
  const path = `/api/org/${node.team}/nodes/${node.nodeId}/${action}`;
  return { path, bearer: node.apiToken, secrets: [node.apiToken], what };
}

function lighthouseFields(lighthouse: LighthouseRequest | undefined): object {
  if (lighthouse === undefined) return {};
  return {
    is_lighthouse: true,
    ...(lighthouse.publicIp === undefined ? {} : { public_ip: lighthouse.publicIp }),
    ...(lighthouse.fqdn === undefined ? {} : { fqdn: lighthouse.fqdn }),
    external_port: lighthouse.externalPort,
  };
}
