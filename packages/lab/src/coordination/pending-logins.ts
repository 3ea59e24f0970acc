import { randomBytes } from 'node:crypto';
import type { HostinfoUpdate } from './hostinfo.ts';

/** Logins that wait for approval; one more forgets the oldest, which then has to begin again. */
export const PENDING_LOGIN_COUNT_MAX = 256;
/** How long a login may wait, in milliseconds. */
export const PENDING_LOGIN_MS: number = 15 * 60_000;

/** A machine that wants to join and whose user was sent to a page of ours. */
export interface PendingLogin {
  readonly id: string;
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly hostinfo: HostinfoUpdate;
  readonly startedUnixMs: number;
  readonly isApproved: boolean;
}

/** The interactive logins in progress, by the random id in their URL. */
export class PendingLogins {
  readonly #logins = new Map<string, PendingLogin>();
  readonly #waiting = new Set<() => void>();

  /** Begins a login; the same node key gets its login again. */
  start(machineKey: string, nodeKey: string, hostinfo: HostinfoUpdate): PendingLogin {
    this.#dropExpired();
    for (const login of this.#logins.values()) {
      if (login.nodeKey === nodeKey && login.machineKey === machineKey) return login;
    }
    if (this.#logins.size >= PENDING_LOGIN_COUNT_MAX) this.#dropOldest();
    const id = randomBytes(12).toString('hex');
    const login = { id, machineKey, nodeKey, hostinfo, startedUnixMs: Date.now(), isApproved: false };
    this.#logins.set(id, login);
    return login;
  }

  find(id: string): PendingLogin | undefined {
    this.#dropExpired();
    return this.#logins.get(id);
  }

  /** False for an unknown id, also for one that waited too long. */
  approve(id: string): boolean {
    const login = this.find(id);
    if (login === undefined) return false;
    this.#logins.set(id, { ...login, isApproved: true });
    for (const wake of this.#waiting) wake();
    return true;
  }

  finish(id: string): void {
    this.#logins.delete(id);
  }

  /** Resolves with the login once it is approved; with `undefined` when it is gone or the signal fires. */
  async waitForApproval(id: string, signal: AbortSignal): Promise<PendingLogin | undefined> {
    for (;;) {
      const login = this.find(id);
      if (login === undefined || login.isApproved || signal.aborted) return signal.aborted ? undefined : login;
      await this.#nextChange(login.startedUnixMs + PENDING_LOGIN_MS - Date.now(), signal);
    }
  }

  #nextChange(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(1, timeoutMs));
      signal.addEventListener('abort', wake);
      this.#waiting.add(wake);
    });
  }

  #dropExpired(): void {
    const limit = Date.now() - PENDING_LOGIN_MS;
    for (const login of this.#logins.values()) if (login.startedUnixMs <= limit) this.#logins.delete(login.id);
  }

  /** The first key of a map is the one that was set first. */
  #dropOldest(): void {
    for (const id of this.#logins.keys()) {
      this.#logins.delete(id);
      return;
    }
  }
}
