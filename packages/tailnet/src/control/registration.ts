import { setTimeout as sleep } from 'node:timers/promises';
import {
  isAuthKeyRefusal,
  isFollowUpForgotten,
  parseRegisterResponse,
  type RegisterResult,
} from '@heddle/proto/control/register-response';
import { createRegisterRequest } from '@heddle/proto/control/requests';
import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { generatePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import { ControlError } from './control-error.ts';
import type { ControlAnswer, ControlSession } from './h2-session.ts';
import type { LocalNode } from './local-node.ts';
import type { ControlTimings } from './timings.ts';

export interface RegistrationOptions {
  readonly nodeKey: NodePrivateKey;
  readonly authKey: string | undefined;
  readonly local: LocalNode;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly timings: ControlTimings;
  /** The user has to open this page; called again after a reconnect. */
  readonly onNeedsLogin: (authUrl: string) => void;
  /** Awaited before the new key is used for anything but this registration. */
  readonly onNodeKeyChanged: (nodeKey: NodePrivateKey, old: NodePrivateKey) => Promise<void>;
}

/**
 * Gets our node key accepted by the server, however many connections and logins that takes. It owns which node key is
 * in force: an expired one is replaced only when its successor is registered, and a pending login keeps its key and its
 * page over reconnects.
 */
export class Registration {
  readonly #options: RegistrationOptions;
  #nodeKey: NodePrivateKey;
  #successor: NodePrivateKey | undefined;
  #followUpUrl: string | undefined;
  #isRegistered = false;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.#nodeKey = options.nodeKey;
  }

  /** The key that the server knows, or is asked to know. */
  get nodeKey(): NodePrivateKey {
    return this.#nodeKey;
  }

  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /** The server lost us or our key expired: the next session registers first. */
  forget(): void {
    this.#isRegistered = false;
  }

  /**
   * Returns when the server has accepted the key.
   * @throws {ControlError} `control/invalid-auth-key`, `control/auth-key-required`, `control/registration-refused`,
   * `control/version-refused`, `control/rate-limited`, `control/server-error`, and those of the connection.
   */
  async run(session: ControlSession, signal: AbortSignal): Promise<void> {
    // A login that was pending when the last connection broke is pending still.
    if (this.#followUpUrl !== undefined) this.#options.onNeedsLogin(this.#followUpUrl);
    for (;;) {
      const result = await this.#ask(session, signal);
      if (result.kind === 'registered') return this.#finish();
      if (result.kind === 'key-expired') this.#replaceKey();
      else if (result.kind === 'needs-login') await this.#awaitLogin(result.authUrl, signal);
      else if (result.kind === 'refused') this.#handleRefusal(result.reason);
      else throw badResponse();
    }
  }

  /** Makes the server expire our key; it deletes an ephemeral node at once. Its answer differs too much to be read. */
  async logout(session: ControlSession, signal: AbortSignal): Promise<void> {
    const request = createRegisterRequest({
      nodeKey: this.#nodeKey.publicKey,
      oldNodeKey: undefined,
      authKey: undefined,
      followUpUrl: undefined,
      isLogout: true,
      hostinfo: this.#options.local.hostinfo(),
    });
    const answer = await this.#post(session, request, this.#options.timings.requestMs, signal);
    this.#isRegistered = false;
    if (answer.status !== 200) throw statusError(answer, undefined);
  }

  async #ask(session: ControlSession, signal: AbortSignal): Promise<RegisterResult> {
    const { authKey, local, timings } = this.#options;
    const followUpUrl = this.#followUpUrl;
    const request = createRegisterRequest({
      nodeKey: (this.#successor ?? this.#nodeKey).publicKey,
      oldNodeKey: this.#successor === undefined ? undefined : this.#nodeKey.publicKey,
      // A server takes a request with both for a follow-up, so the key would be wasted.
      authKey: followUpUrl === undefined ? authKey : undefined,
      followUpUrl,
      isLogout: false,
      hostinfo: local.hostinfo(),
    });
    const timeoutMs = followUpUrl === undefined ? timings.requestMs : timings.followUpMs;
    const answer = await this.#post(session, request, timeoutMs, signal);
    if (answer.status !== 200) throw statusError(answer, authKey);
    return parseRegisterResponse(parseJson(answer.body));
  }

  #post(session: ControlSession, request: object, timeoutMs: number, signal: AbortSignal): Promise<ControlAnswer> {
    const body = Buffer.from(JSON.stringify(request));
    return session.request({ method: 'POST', path: '/machine/register', body, timeoutMs, signal });
  }

  async #finish(): Promise<void> {
    const successor = this.#successor;
    if (successor !== undefined) {
      await this.#saveKey(successor);
      this.#nodeKey = successor;
      this.#successor = undefined;
    }
    this.#followUpUrl = undefined;
    this.#isRegistered = true;
  }

  /** An unsaved key would be lost at the next start, and the machine with it locked out of its own node. */
  async #saveKey(successor: NodePrivateKey): Promise<void> {
    try {
      await this.#options.onNodeKeyChanged(successor, this.#nodeKey);
    } catch (cause) {
      const message = 'The new node key could not be saved';
      throw new ControlError('control/key-not-saved', message, { isRetryable: true, cause });
    }
  }

  #replaceKey(): void {
    if (this.#successor !== undefined) {
      const message = 'The server calls a brand-new node key expired';
      throw new ControlError('control/registration-refused', message);
    }
    this.#successor = generatePrivateKey('node', this.#options.crypto, this.#options.rng);
  }

  async #awaitLogin(authUrl: string, signal: AbortSignal): Promise<void> {
    const isSame = authUrl === this.#followUpUrl;
    this.#followUpUrl = authUrl;
    if (!isSame) this.#options.onNeedsLogin(authUrl);
    // Headscale 0.23 and 0.24 answer the follow-up early with the same page.
    else await sleep(this.#options.timings.followUpPauseMs, undefined, { signal });
  }

  #handleRefusal(reason: string): void {
    if (this.#followUpUrl !== undefined && isFollowUpForgotten(reason)) {
      this.#followUpUrl = undefined;
      return;
    }
    if (!isAuthKeyRefusal(reason)) {
      throw new ControlError('control/registration-refused', `The server refused this node: ${quote(reason)}`);
    }
    throw authKeyError(this.#options.authKey, quote(reason));
  }
}

/** The error of a status that is no answer; 401 is what Headscale 0.23 says to a wrong key. */
function statusError(answer: ControlAnswer, authKey: string | undefined): ControlError {
  const { status, retryAfterMs } = answer;
  if (status === 401) return authKeyError(authKey, 'status 401');
  if (status === 400) {
    const text = quote(answer.body.toString('utf8'));
    return new ControlError('control/version-refused', `The server refused the registration: ${text}`);
  }
  if (status === 429) {
    const options = { isRetryable: true, retryAfterMs: retryAfterMs ?? 5_000 };
    return new ControlError('control/rate-limited', 'The server asks to register later', options);
  }
  const message = `The server answered the registration with status ${status}`;
  return new ControlError('control/server-error', message, { isRetryable: true });
}

function authKeyError(authKey: string | undefined, reason: string): ControlError {
  return authKey === undefined
    ? new ControlError('control/auth-key-required', `The server wants a pre-auth key: ${reason}`)
    : new ControlError('control/invalid-auth-key', `The server does not accept the pre-auth key: ${reason}`);
}

function badResponse(): ControlError {
  const message = 'The server answered the registration with something unreadable';
  return new ControlError('control/bad-response', message, { isRetryable: true });
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** A server's words on one short line, without anything that could be a key it repeats. */
function quote(text: string): string {
  const line = text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 200);
  return `"${line.replace(/\b(?:hskey|tskey)-[\w-]+|\b[0-9a-f]{40,}\b/gi, '[redacted]')}"`;
}
