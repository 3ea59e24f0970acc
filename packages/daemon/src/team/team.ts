/**
 * One team: what is wanted of it, what it is, and the child that makes it so.
 *
 *   stopped ──start──▶ starting ──ready──▶ up ──exit──▶ backoff ──timer──▶ starting
 *      ▲                  │  ▲─────────────────────────────┘ │
 *      │                  └──exit──▶ backoff, failed ◀───────┘ only a command leaves `failed`
 *      └──── stopping ◀──stop── any
 *
 * Commands of one team run one after another; a start only spawns within its turn, so a stop never waits for a network
 * to come up. What an earlier child says is ignored. Error contract: commands reject with a TailnetError when the team is
 * not what was asked for afterwards; everything else shows in the state.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Assignment, Health, TeamChild, TeamDriver, TeamFacts, TeamFailure } from './driver.ts';
import { RestartPolicy } from './restart-policy.ts';
import { stopChild } from './stop-child.ts';

export type TeamState =
  | { readonly kind: 'stopped' }
  /** `waitsFor`: a person has to do this first. */
  | { readonly kind: 'starting'; readonly waitsFor: string | undefined }
  | { readonly kind: 'up'; readonly facts: TeamFacts; readonly warning: Warning | undefined }
  | { readonly kind: 'backoff'; readonly failure: TeamFailure; readonly retryUnixMs: number }
  | { readonly kind: 'failed'; readonly failure: TeamFailure }
  | { readonly kind: 'stopping' };

export interface Warning {
  readonly code: string;
  readonly message: string;
}

export interface TeamOptions {
  readonly name: string;
  readonly driver: TeamDriver;
  /** What the team may occupy. @throws {TailnetError} `plan/*` when it may not come up beside the others. */
  readonly plan: () => Promise<Assignment>;
  /** Called after every change, the child's identity included, before anything is done about it. */
  readonly onChange: (team: Team) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly unixMs: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const HEALTH_INTERVAL_MS = 5000;
const HEALTH_FAILURE_COUNT_MAX = 3;
/** A request has 10 s; the answer needs some of them. */
const START_ANSWER_MS = 8000;

export class Team {
  readonly name: string;
  readonly driver: TeamDriver;
  readonly #options: TeamOptions;
  readonly #policy: RestartPolicy;
  #state: TeamState = { kind: 'stopped' };
  #sinceUnixMs: number;
  #restartCount = 0;
  #lastFailure: TeamFailure | undefined;
  #child: TeamChild | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiters = new Set<() => void>();
  #healthFailureCount = 0;
  #isRetired = false;
  /** Why we end a child that runs. */
  #illness: TeamFailure | undefined;

  constructor(options: TeamOptions) {
    this.#options = options;
    this.name = options.name;
    this.driver = options.driver;
    this.#policy = new RestartPolicy(options.random);
    this.#sinceUnixMs = options.unixMs();
  }

  get state(): TeamState {
    return this.#state;
  }

  /** When it came into this state. */
  get sinceUnixMs(): number {
    return this.#sinceUnixMs;
  }

  /** Children started since the last command, without the first. */
  get restartCount(): number {
    return this.#restartCount;
  }

  get lastFailure(): TeamFailure | undefined {
    return this.#lastFailure;
  }

  get child(): TeamChild | undefined {
    return this.#child;
  }

  /** True while a child runs or is to run again. */
  get isActive(): boolean {
    return this.#state.kind !== 'stopped' && this.#state.kind !== 'failed';
  }

  /**
   * Brings the team up and resolves when it is, waits for a person, or is still starting after 8 s. A team that is up stays as it is.
   * @throws {TailnetError} why it is not up.
   */
  async start(): Promise<void> {
    await this.#queue(() => this.#startNow());
    await this.#settle();
  }

  /** Takes the team down; resolves when the child is gone. */
  stop(): Promise<void> {
    return this.#queue(() => this.#stopNow());
  }

  /**
   * Takes the team down for good: a start that comes later, or was on its way, is refused.
   * @param forget Called when the child is gone, before any other command.
   */
  retire(forget: () => Promise<void> = async () => {}): Promise<void> {
    return this.#queue(async () => {
      await this.#stopNow();
      await forget();
      this.#isRetired = true;
    });
  }

  /** Stops and starts with the configuration as it is now. @throws {TailnetError} as {@link start}. */
  async restart(): Promise<void> {
    await this.#queue(async () => {
      await this.#stopNow();
      await this.#startNow();
    });
    await this.#settle();
  }

  /**
   * Takes over the configuration as it is now: without an interruption where the driver can, else by a restart. A team that
   * is not up stays as it is.
   * @throws {TailnetError} of a configuration that cannot be used; the team is then as it was.
   */
  async reload(): Promise<void> {
    const isDone = await this.#queue(async () => {
      if (this.#state.kind !== 'up' || this.#child === undefined) return true;
      return this.#child.reload();
    });
    if (!isDone) await this.restart();
  }

  #queue<T>(command: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(command);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #startNow(): Promise<void> {
    if (this.#isRetired) throw new TailnetError('team/gone', `Team "${this.name}" is taken down for good`);
    if (this.#child !== undefined) return;
    this.#policy.reset();
    this.#restartCount = 0;
    this.#lastFailure = undefined;
    await this.#spawn();
  }

  async #stopNow(): Promise<void> {
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) {
      this.#enter({ kind: 'stopped' });
      return;
    }
    this.#illness = undefined;
    this.#enter({ kind: 'stopping' });
    const outcome = await stopChild(child);
    this.#child = undefined;
    this.#enter({ kind: 'stopped' });
    if (outcome === 'stuck') {
      throw new TailnetError('team/stuck', `Process ${child.identity.pid} of "${this.name}" does not end`);
    }
  }

  async #spawn(): Promise<void> {
    clearTimeout(this.#timer);
    this.#enter({ kind: 'starting', waitsFor: undefined });
    try {
      const child = await this.driver.start(await this.#options.plan());
      this.#child = child;
      this.#options.onChange(this);
      void child.waiting.then((what) => this.#handleWaiting(child, what));
      void child.ready.then((facts) => this.#handleReady(child, facts));
      void child.exited.then((failure) => this.#handleExit(child, failure));
    } catch (error) {
      this.#handleFailure(toFailure(error));
    }
  }

  #handleWaiting(child: TeamChild, what: string): void {
    if (this.#child === child && this.#state.kind === 'starting') this.#enter({ kind: 'starting', waitsFor: what });
  }

  #handleReady(child: TeamChild, facts: TeamFacts): void {
    if (this.#child !== child || this.#state.kind !== 'starting') return;
    this.#policy.noteUp(this.#options.nowMs());
    this.#healthFailureCount = 0;
    this.#enter({ kind: 'up', facts, warning: undefined });
    this.#planHealthCheck(child);
  }

  #handleExit(child: TeamChild, failure: TeamFailure): void {
    if (this.#child !== child || this.#state.kind === 'stopping') return;
    this.#child = undefined;
    const illness = this.#illness;
    this.#illness = undefined;
    this.#handleFailure(illness ?? failure);
  }

  #handleFailure(failure: TeamFailure): void {
    clearTimeout(this.#timer);
    this.#lastFailure = failure;
    const decision = this.#policy.decide(failure.retry, this.#options.nowMs());
    if (decision.kind === 'give-up') {
      this.#enter({ kind: 'failed', failure: decision.reason === 'crash-loop' ? crashLoop(failure) : failure });
      return;
    }
    this.#enter({ kind: 'backoff', failure, retryUnixMs: this.#options.unixMs() + decision.delayMs });
    this.#timer = setTimeout(() => {
      void this.#queue(async () => {
        if (this.#state.kind !== 'backoff') return;
        this.#restartCount++;
        await this.#spawn();
      });
    }, decision.delayMs);
  }

  #planHealthCheck(child: TeamChild): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      async () => {
        const health = await child.checkHealth();
        if (this.#child !== child || this.#state.kind !== 'up') return;
        this.#noteHealth(child, health);
      },
      untilNextMultiple(HEALTH_INTERVAL_MS, this.#options.nowMs()),
    );
  }

  #noteHealth(child: TeamChild, health: Health): void {
    this.#noteWarning(health);
    this.#healthFailureCount = health.kind === 'failed' ? this.#healthFailureCount + 1 : 0;
    if (health.kind !== 'failed' || this.#healthFailureCount < HEALTH_FAILURE_COUNT_MAX) {
      this.#planHealthCheck(child);
      return;
    }
    this.#illness = { code: health.code, message: health.message, retry: 'backoff' };
    void stopChild(child);
  }

  #noteWarning(health: Health): void {
    if (this.#state.kind !== 'up') return;
    const warning = health.kind === 'ok' ? undefined : { code: health.code, message: health.message };
    if (warning?.code === this.#state.warning?.code && warning?.message === this.#state.warning?.message) return;
    this.#enter({ ...this.#state, warning });
  }

  /** Waits until a start has had an outcome, at most 8 s. @throws {TailnetError} of a failure. */
  async #settle(): Promise<void> {
    const deadlineMs = this.#options.nowMs() + START_ANSWER_MS;
    while (this.#state.kind === 'starting' && this.#state.waitsFor === undefined) {
      const leftMs = deadlineMs - this.#options.nowMs();
      if (leftMs <= 0) return;
      await this.#nextChange(leftMs);
    }
    if (this.#state.kind !== 'backoff' && this.#state.kind !== 'failed') return;
    const { code, message, retry } = this.#state.failure;
    throw new TailnetError(code, message, { isRetryable: retry !== 'never' });
  }

  #nextChange(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(finish);
        resolve();
      };
      const timer = setTimeout(finish, limitMs);
      this.#waiters.add(finish);
    });
  }

  #enter(state: TeamState): void {
    if (state.kind !== this.#state.kind) this.#sinceUnixMs = this.#options.unixMs();
    this.#state = state;
    this.#options.onChange(this);
    for (const wake of [...this.#waiters]) wake();
  }
}

/** All teams are looked at together: the processor wakes once, and the kernel is asked once. */
function untilNextMultiple(intervalMs: number, nowMs: number): number {
  return intervalMs - (nowMs % intervalMs);
}

function toFailure(error: unknown): TeamFailure {
  if (error instanceof TailnetError) {
    return { code: error.code, message: error.message, retry: error.isRetryable ? 'few' : 'never' };
  }
  return { code: 'team/internal', message: error instanceof Error ? error.message : String(error), retry: 'backoff' };
}

function crashLoop({ code, message }: TeamFailure): TeamFailure {
  return {
    code: 'team/crash-loop',
    message: `Ended five times in two minutes, last: ${message} [${code}]`,
    retry: 'never',
  };
}
