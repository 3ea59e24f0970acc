/**
 * All teams of this machine: what is wanted of them (the store), what they are (a `Team` each), and what they may take
 * from the machine (the plan). Commands of one team run one after another, those of different teams beside each other;
 * only planning is one at a time, because each plan counts with those before it.
 *
 * Error contract: every command rejects with a TailnetError and leaves a state that `status` shows. A change is stored
 * before it is answered.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { FoundTeam } from '../config/config-scan.ts';
import type { RememberedChoice, TeamClaims } from '../plan/claims.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import { type Plan, planStart } from '../plan/plan.ts';
import { planAll, type TeamPlan } from '../plan/plan-all.ts';
import { withoutTeamUtuns } from '../plan/team-utuns.ts';
import type { TeamEvent, TeamInfo } from '../schema/team-info.ts';
import type { TeamRecord } from '../store/records.ts';
import type { StateStore } from '../store/state-store.ts';
import type { StoreChange, StoreChangeItem } from '../store/store-content.ts';
import type { Assignment, TeamDriver, TeamNeeds } from '../team/driver.ts';
import { Team } from '../team/team.ts';
import { describeTeam } from './describe-team.ts';
import { TeamFeed } from './team-feed.ts';

export interface SupervisorOptions {
  readonly store: StateStore;
  readonly createDriver: (found: FoundTeam) => TeamDriver;
  /** The teams that have a configuration now. @throws {TailnetError} `team/*`. */
  readonly scan: () => readonly FoundTeam[];
  /** What the machine uses now. */
  readonly readHost: () => Promise<HostFacts>;
  readonly log: (level: 'info' | 'warn', message: string, fields?: Readonly<Record<string, string | number>>) => void;
  readonly bootId: string;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly unixMs: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface ProvisionResult {
  readonly name: string;
  readonly kind: 'nebula' | 'tailnet';
  readonly ok: boolean;
  readonly message: string;
  readonly code?: string | undefined;
}

/** How many processes are started at a time when there is no hurry. */
const POOL_SIZE = 4;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #store: StateStore;
  readonly #teams = new Map<string, Team>();
  /** Of teams that were started: what they took. */
  readonly #claims = new Map<string, TeamClaims>();
  readonly #feed = new TeamFeed();
  #planning: Promise<unknown> = Promise.resolve();
  #changes: Promise<unknown> = Promise.resolve();
  #provisioning: Promise<unknown> = Promise.resolve();
  #isClosing = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#store = options.store;
    for (const record of this.#store.teams()) this.#adopt(record);
  }

  /** Sorted by name. */
  list(): TeamInfo[] {
    return this.#store.teams().map((record) => this.#describe(record));
  }

  /** @throws {TailnetError} `team/unknown`. */
  status(name: string): TeamInfo {
    return this.#describe(this.#record(name));
  }

  subscribe(send: (event: TeamEvent) => void): () => void {
    return this.#feed.subscribe(this.list(), send);
  }

  /** @throws {TailnetError} why it is not up; `plan/*` when it may not come up, and then nothing has changed. */
  async start(name: string): Promise<TeamInfo> {
    const { desired } = this.#record(name);
    await this.#setDesired(name, 'up');
    try {
      await this.#team(name).start();
    } catch (error) {
      if (desired === 'down' && isRefusal(error)) await this.stop(name);
      throw error;
    }
    return this.status(name);
  }

  async stop(name: string): Promise<TeamInfo> {
    await this.#setDesired(name, 'down');
    await this.#team(name).stop();
    return this.status(name);
  }

  async restart(name: string): Promise<TeamInfo> {
    await this.#setDesired(name, 'up');
    await this.#team(name).restart();
    return this.status(name);
  }

  /**
   * Takes over the configuration of a team as it is now, without an interruption where that can be.
   * @throws {TailnetError} of one that cannot be used; the team is then as it was.
   */
  async reload(name: string): Promise<TeamInfo> {
    await this.#team(name).reload();
    return this.status(name);
  }

  /** Provisions all teams and reloads those that are up. Never rejects: what goes wrong is one team's, and logged. */
  async reloadAll(): Promise<void> {
    const { log } = this.#options;
    try {
      for (const { name, ok, message } of await this.provision(undefined)) {
        if (!ok) log('warn', `Cannot take over ${name}: ${message}`, { team: name });
      }
    } catch (error) {
      log('warn', `Cannot provision: ${messageOf(error)}`);
    }
    const reloads = [...this.#teams.values()].map((team) =>
      team
        .reload()
        .catch((error: unknown) => log('warn', `Reload of ${team.name}: ${messageOf(error)}`, { team: team.name })),
    );
    await Promise.all(reloads);
  }

  /**
   * Makes a team the only one that is up. It is started beside the others if it can be, so that a failure costs nothing;
   * else they are stopped first and brought back if it fails.
   * @throws {TailnetError} why it is not up; the others are as they were.
   */
  async switch(name: string): Promise<TeamInfo> {
    const team = this.#team(name);
    const others = [...this.#teams.values()].filter((other) => other !== team && other.isActive);
    const isStarted = await this.#startBeside(team);
    if (!isStarted) {
      await Promise.all(others.map((other) => other.stop()));
      await team.start().catch((error) => this.#bringBack(others, team, error));
    }
    await this.#change(() => [
      ...this.#store
        .teams()
        .map((record) => this.#update(record.name, { desired: record.name === name ? 'up' : 'down' })),
      { kind: 'set-active-team', name },
    ]);
    await Promise.all(others.map((other) => other.stop()));
    return this.status(name);
  }

  /** Stops a team and forgets it. The files below the config root stay. */
  async delete(name: string): Promise<void> {
    const team = this.#team(name);
    await team.retire(async () => {
      await team.driver.removeFiles();
      await this.#change(() => [
        { kind: 'delete-team', name },
        { kind: 'delete-runtime', team: name },
        ...(this.#store.activeTeam === name ? [{ kind: 'set-active-team', name: undefined } as const] : []),
      ]);
    });
    this.#teams.delete(name);
    this.#claims.delete(name);
    this.#feed.noteRemoved(name);
  }

  /**
   * Takes over what is below the config root: of all teams, or of one.
   * @throws {TailnetError} `team/no-config` for one that is not there, `team/*` of a root that cannot be read.
   */
  provision(name: string | undefined): Promise<readonly ProvisionResult[]> {
    // One at a time: two of the same team would adopt it twice.
    const result = this.#provisioning.then(() => this.#provision(name));
    this.#provisioning = result.catch(() => {});
    return result;
  }

  /**
   * What would happen if every team were started now, those that are down one after another; of one team if it is named.
   * Changes nothing.
   */
  async plan(name: string | undefined): Promise<readonly TeamPlan[]> {
    if (name !== undefined) this.#record(name);
    const claims: TeamClaims[] = [];
    const remembered = new Map<string, RememberedChoice>();
    const broken: TeamPlan[] = [];
    for (const { name: team } of this.#store.teams()) {
      try {
        const needs = await this.#team(team).driver.inspect();
        claims.push(needs.claims);
        remembered.set(team, this.#remembered(team, needs));
      } catch (error) {
        broken.push({ team, plan: brokenPlan(error) });
      }
    }
    const readable = new Set(claims.map(({ team }) => team));
    const running = this.#othersOf('').filter(({ team }) => readable.has(team));
    const plans = planAll(claims, await this.#readHost(), remembered, running);
    return [...plans, ...broken].filter(({ team }) => name === undefined || team === name);
  }

  /** Starts what should be up, a few at a time. Never rejects: each failure is one team's. */
  async autostart(): Promise<void> {
    const wanted = this.#store.teams().filter((record) => record.desired === 'up');
    await mapInPool(wanted, async ({ name }) => {
      if (this.#isClosing) return;
      try {
        await this.#team(name).start();
      } catch (error) {
        this.#options.log('warn', `Autostart of ${name}: ${messageOf(error)}`, { team: name });
      }
    });
  }

  /** Ends every child at once, at most 6 s. What is wanted of the teams stays. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.allSettled([...this.#teams.values()].map((team) => team.retire()));
  }

  async #startBeside(team: Team): Promise<boolean> {
    try {
      await team.start();
      return true;
    } catch (error) {
      if (isRefusal(error)) return false;
      await team.stop();
      throw error;
    }
  }

  async #bringBack(others: readonly Team[], team: Team, reason: unknown): Promise<never> {
    await team.stop();
    await Promise.allSettled(others.map((other) => other.start()));
    throw reason;
  }

  async #provision(name: string | undefined): Promise<readonly ProvisionResult[]> {
    const found = this.#options.scan().filter((team) => name === undefined || team.name === name);
    if (name !== undefined && found.length === 0) {
      throw new TailnetError(
        'team/no-config',
        `There is no config.yml or tailnet.yml for "${name}" below the config root`,
      );
    }
    return mapInPool(found, (team) => this.#provisionOne(team));
  }

  async #provisionOne(found: FoundTeam): Promise<ProvisionResult> {
    const { name, kind, configPath } = found;
    try {
      const known = this.#store.team(name);
      if (known !== undefined && known.kind !== kind && this.#team(name).isActive) {
        throw new TailnetError(
          'team/kind-changed',
          `"${name}" runs as ${known.kind}; stop it before it becomes ${kind}`,
        );
      }
      const driver = this.#options.createDriver(found);
      const { claims, certNotAfterUnixMs } = await driver.inspect();
      await driver.verify();
      const nowUnixMs = this.#options.unixMs();
      const { networks } = claims;
      const fresh = {
        desired: 'down',
        isAutostart: false,
        createdUnixMs: nowUnixMs,
        updatedUnixMs: nowUnixMs,
      } as const;
      await this.#change(() => {
        const kept = this.#store.team(name);
        const base = kept?.kind === kind ? kept : fresh;
        const team = { ...base, name, kind, configPath, networks, certNotAfterUnixMs, updatedUnixMs: nowUnixMs };
        return [{ kind: 'put-team', team }];
      });
      if (known?.kind !== kind) this.#adopt(this.#record(name));
      else this.#noteChange(this.#team(name));
      return { name, kind, ok: true, message: known === undefined ? 'added' : 'updated' };
    } catch (error) {
      const code = error instanceof TailnetError ? error.code : 'team/internal';
      return { name, kind, ok: false, code, message: messageOf(error) };
    }
  }

  #adopt(record: TeamRecord): void {
    const { createDriver, nowMs, unixMs, random } = this.#options;
    const { name } = record;
    const driver = createDriver({ name, kind: record.kind, configPath: record.configPath });
    const plan = (): Promise<Assignment> => this.#inTurn(() => this.#assign(name));
    const onChange = (team: Team): void => this.#noteChange(team);
    const team = new Team({ name, driver, plan, onChange, nowMs, unixMs, random });
    this.#teams.set(name, team);
    this.#noteChange(team);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#planning.then(work);
    this.#planning = result.catch(() => {});
    return result;
  }

  /** Plans the start of one team and remembers what it got. @throws {TailnetError} the worst finding of a refusal. */
  async #assign(name: string): Promise<Assignment> {
    const needs = await this.#team(name).driver.inspect();
    const { claims, certNotAfterUnixMs } = needs;
    this.#claims.delete(name);
    const plan = planStart(claims, this.#othersOf(name), await this.#readHost(), this.#remembered(name, needs));
    for (const { severity, message } of plan.findings) {
      if (severity !== 'refusal') this.#options.log(severity === 'warning' ? 'warn' : 'info', message, { team: name });
    }
    if (plan.kind === 'refused') throw refusalOf(plan);
    const { device, listenPort, proxyPort } = plan;
    this.#claims.set(name, { ...claims, device, listenPort, proxyPort });
    const { networks } = claims;
    const got = { device, listenPort, proxyPort, networks, certNotAfterUnixMs };
    await this.#change(() => [this.#update(name, got)]);
    return { device, listenPort, proxyPort };
  }

  async #readHost(): Promise<HostFacts> {
    return withoutTeamUtuns(await this.#options.readHost(), this.#othersOf(''));
  }

  /** What the other teams that are up, or about to be, have taken. */
  #othersOf(name: string): TeamClaims[] {
    return [...this.#claims].flatMap(([other, claims]) =>
      other !== name && (this.#teams.get(other)?.isActive ?? false) ? [claims] : [],
    );
  }

  #remembered(name: string, { isProxyPortGiven }: TeamNeeds): RememberedChoice {
    const { device, listenPort, proxyPort } = this.#record(name);
    return { device, listenPort, proxyPort: isProxyPortGiven ? undefined : proxyPort };
  }

  #setDesired(name: string, desired: 'up' | 'down'): Promise<void> {
    return this.#change(() => [this.#update(name, { desired })]);
  }

  /** Commits one after another, so that no change is made of a record that another one is just replacing. */
  #change(make: () => StoreChange): Promise<void> {
    const result = this.#changes.then(() => this.#store.commit(make()));
    this.#changes = result.catch(() => {});
    return result;
  }

  #update(name: string, fields: Partial<TeamRecord>): StoreChangeItem {
    return { kind: 'put-team', team: { ...this.#record(name), ...fields, updatedUnixMs: this.#options.unixMs() } };
  }

  #noteChange(team: Team): void {
    const record = this.#store.team(team.name);
    if (record === undefined) return;
    this.#feed.noteTeam(this.#describe(record));
    this.#recordRuntime(team);
  }

  /** For the next supervisor, should this one be killed. Best effort: an error here must not end a team. */
  #recordRuntime(team: Team): void {
    const identity = team.child?.identity;
    const change: StoreChangeItem =
      identity === undefined
        ? { kind: 'delete-runtime', team: team.name }
        : {
            kind: 'put-runtime',
            runtime: {
              team: team.name,
              pid: identity.pid,
              startMark: identity.startMark,
              bootId: this.#options.bootId,
              state: team.state.kind,
              sinceUnixMs: team.sinceUnixMs,
              restarts: team.restartCount,
              device: this.#store.team(team.name)?.device,
            },
          };
    this.#store.commit([change]).catch((error: unknown) => {
      if (!this.#isClosing) this.#options.log('warn', `Cannot record the state of ${team.name}: ${messageOf(error)}`);
    });
  }

  #describe(record: TeamRecord): TeamInfo {
    const claims = this.#claims.get(record.name);
    return describeTeam({ record, team: this.#team(record.name), claims, activeTeam: this.#store.activeTeam });
  }

  #record(name: string): TeamRecord {
    const record = this.#store.team(name);
    if (record === undefined) throw unknownTeam(name);
    return record;
  }

  #team(name: string): Team {
    const team = this.#teams.get(name);
    if (team === undefined) throw unknownTeam(name);
    return team;
  }
}

function unknownTeam(name: string): TailnetError {
  return new TailnetError('team/unknown', `There is no team "${name}"`);
}

function isRefusal(error: unknown): boolean {
  return error instanceof TailnetError && error.code.startsWith('plan/');
}

function refusalOf({ findings }: Plan): TailnetError {
  const worst = findings.find(({ severity }) => severity === 'refusal');
  if (worst === undefined) return new TailnetError('plan/refused', 'The team may not come up');
  return new TailnetError(worst.code, `${worst.message}; ${worst.next}`);
}

function brokenPlan(error: unknown): Plan {
  const next = 'correct it, then run: heddle provision';
  return {
    kind: 'refused',
    findings: [{ severity: 'refusal', code: 'plan/bad-config', message: messageOf(error), next }],
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** As `Promise.all` over a map, a few at a time. */
async function mapInPool<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.entries();
  const worker = async (): Promise<void> => {
    for (const [i, item] of waiting) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: POOL_SIZE }, worker));
  return results;
}
