/**
 * Makes and removes interfaces so that the kernel and the state database agree whenever the process ends:
 *
 *     make      journal "make" ─▶ kernel ─▶ record, and no journal       (one synced batch)
 *     remove    no record, and journal "remove" (one synced batch), and beside it the kernel ─▶ no journal
 *
 * What is found in the journal at the start was interrupted: what was being made is taken back, what was being removed is
 * removed. A link is ours when it bears the mark of a record or of a journal entry, a random number that the kernel keeps
 * with the link from its first moment; its name and its alias prove nothing. macOS keeps no such number: see MacosKernel.
 *
 * Everything that changes something runs one after another, and under a lock that other daemons of this machine take as
 * well, from the look at the kernel's tables to the address on the link: two never choose the same network.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type BusyPrefixes, readBusyPrefixes } from '../allocation/busy-prefixes.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import { INTERFACE_COUNT_MAX, type InterfaceRecord, interfaceKey } from '../store/interface-records.ts';
import type { StateStore } from '../store/state-store.ts';
import type { StoreChange } from '../store/store-content.ts';
import type { InterfaceKernel, KernelLink } from './interface-kernel.ts';
import { describeRecord, linkNameOf, reservationsOf } from './record-facts.ts';
import { makeLink, restoreInterfaces } from './restore-interfaces.ts';
import { SerialQueue } from './serial-queue.ts';

export type InterfaceLog = (
  level: 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, string | number>>,
) => void;

export interface BookOptions {
  readonly store: Pick<StateStore, 'interfaces' | 'interface' | 'journal' | 'commit'>;
  readonly kernel: InterfaceKernel;
  /** Keeps other heddle daemons of this machine out while the work runs; waits for them as long as it is told. */
  readonly exclude: <T>(work: () => Promise<T>, patienceMs: number) => Promise<T>;
  /** The teams that have a configuration, running or not. */
  readonly readTeams: () => Promise<readonly TeamClaims[]>;
  readonly log: InterfaceLog;
}

/** What is taken at the moment: nothing changes it while the work that asked runs. */
export interface Surroundings {
  readonly busy: BusyPrefixes;
  /** Names of links and of records. */
  readonly takenNames: ReadonlySet<string>;
}

interface Seen {
  readonly host: HostFacts;
  readonly teams: readonly TeamClaims[];
  readonly records: readonly InterfaceRecord[];
  readonly surroundings: Surroundings;
}

/** How long a change waits for another daemon's. */
const PATIENCE_MS = 5_000;
/** A start may have to wait for another's, with thousands of links to make. */
const START_PATIENCE_MS = 60_000;
/** Changes that may wait. */
const CHANGE_COUNT_MAX = 64;

export class InterfaceBook {
  readonly #options: BookOptions;
  readonly #store: BookOptions['store'];
  readonly #kernel: InterfaceKernel;
  readonly #changes = new SerialQueue(CHANGE_COUNT_MAX);
  /** What could not be taken back; tried again before the next change. */
  readonly #left = new Map<string, InterfaceRecord>();
  #seen: Seen | undefined;
  #isClosed = false;
  #links: { readonly list: readonly KernelLink[]; readonly byName: ReadonlyMap<string, KernelLink> } | undefined;

  constructor(options: BookOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#kernel = options.kernel;
  }

  records(): readonly InterfaceRecord[] {
    return this.#store.interfaces();
  }

  record(key: string): InterfaceRecord | undefined {
    return this.#store.interface(key);
  }

  /** The links of the machine by name; the same object as long as nothing has changed. */
  async links(): Promise<ReadonlyMap<string, KernelLink>> {
    const list = await this.#kernel.links(this.records());
    if (this.#links?.list !== list) this.#links = { list, byName: new Map(list.map((link) => [link.name, link])) };
    return this.#links.byName;
  }

  /** Runs one change; only its work may call `make` and `remove`. */
  change<T>(work: () => Promise<T>, patienceMs: number = PATIENCE_MS): Promise<T> {
    if (this.#isClosed || this.#changes.isFull) {
      const message = this.#isClosed ? 'The daemon is ending' : `${CHANGE_COUNT_MAX} changes wait already`;
      return Promise.reject(new TailnetError('rest/busy', message, { isRetryable: true }));
    }
    const excluded = async (): Promise<T> => {
      for (const record of this.#left.values()) await this.#takeBack(record);
      return work();
    };
    return this.#changes.run(() => this.#options.exclude(excluded, patienceMs));
  }

  /** Refuses further changes, and resolves when those that were accepted have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#changes.run(async () => {});
  }

  /** Looks at the machine, as it is and as the store wants it; the same object as long as nothing has changed. */
  async look(): Promise<Surroundings> {
    const [host, teams] = await Promise.all([this.#kernel.readHost(), this.#options.readTeams()]);
    const records = this.records();
    const seen = this.#seen;
    if (seen?.host === host && seen.teams === teams && seen.records === records) return seen.surroundings;
    const surroundings = {
      busy: readBusyPrefixes({ host, teams, own: records.flatMap(reservationsOf) }),
      takenNames: new Set([...host.links.map(({ name }) => name), ...records.map(linkNameOf)]),
    };
    this.#seen = { host, teams, records, surroundings };
    return surroundings;
  }

  /**
   * Makes what the record says.
   * @throws {TailnetError} those of the kernel and of the store; nothing is left then.
   */
  async make(record: InterfaceRecord): Promise<void> {
    if (this.records().length >= INTERFACE_COUNT_MAX) {
      throw new TailnetError('allocation/too-many', `There are ${INTERFACE_COUNT_MAX} interfaces already`);
    }
    const journalled = this.#commit([{ kind: 'put-journal', entry: { intent: 'make', record } }]);
    // The kernel waits for it before there is anything to lose; until then nobody listens.
    journalled.catch(() => {});
    try {
      await makeLink(this.#kernel, record, journalled);
      await this.#remember(record);
    } catch (error) {
      await this.#takeBack(record);
      throw error;
    }
    this.#options.log('info', `Made ${describeRecord(record)}`);
  }

  /**
   * Removes what the record says from the kernel and from the store, at once: whichever of both a killed daemon had not done,
   * the next start makes the link again or removes it, and nobody has been told yet.
   * @throws {TailnetError} those of the kernel and of the store; it is there as before then.
   */
  async remove(record: InterfaceRecord): Promise<void> {
    const [forgotten, removed] = await Promise.allSettled([
      this.#commit([
        { kind: 'delete-interface', key: interfaceKey(record) },
        { kind: 'put-journal', entry: { intent: 'remove', record } },
      ]),
      this.#kernel.remove(record),
    ]);
    if (removed.status === 'rejected') {
      if (forgotten.status === 'fulfilled') await this.#remember(record);
      throw removed.reason;
    }
    if (forgotten.status === 'rejected') {
      await this.#makeAgain(record);
      throw forgotten.reason;
    }
    // Nobody needs to wait: a start that finds the entry has nothing left to remove.
    this.#clear(record).catch((error: unknown) => this.#leave(record, error));
    this.#options.log('info', `Removed ${describeRecord(record)}`);
  }

  /** Removes everything that is recorded, as an uninstallation does. */
  removeAll(): Promise<void> {
    return this.change(async () => {
      for (const record of this.records()) await this.remove(record);
    });
  }

  /**
   * Makes the kernel as the store says, after a start: clears the journal, adopts what is there, makes what is missing,
   * and reports what it must leave alone.
   */
  reconcile(): Promise<void> {
    return this.change(async () => {
      await this.#clearJournal();
      const { readTeams, kernel, log } = this.#options;
      await restoreInterfaces({ records: this.records(), kernel, teams: await readTeams(), log });
    }, START_PATIENCE_MS);
  }

  async #clearJournal(): Promise<void> {
    for (const { intent, record } of this.#store.journal()) {
      const what = intent === 'make' ? 'was not finished' : 'was not removed to the end';
      this.#options.log('warn', `${describeRecord(record)} ${what} when the daemon ended; removing it`);
      await this.#takeBack(record);
    }
  }

  /** @throws {TailnetError} `interface/not-stored`. */
  async #commit(change: StoreChange): Promise<void> {
    try {
      await this.#store.commit(change);
    } catch (cause) {
      if (!(cause instanceof TailnetError)) throw cause;
      throw new TailnetError('interface/not-stored', cause.message, { cause, isRetryable: cause.isRetryable });
    }
  }

  #remember(record: InterfaceRecord): Promise<void> {
    return this.#commit([
      { kind: 'put-interface', record },
      { kind: 'delete-journal', key: interfaceKey(record) },
    ]);
  }

  async #makeAgain(record: InterfaceRecord): Promise<void> {
    try {
      await makeLink(this.#kernel, record, Promise.resolve());
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log('warn', `${describeRecord(record)} is recorded but not there: ${reason}`);
    }
  }

  #clear(record: InterfaceRecord): Promise<void> {
    return this.#commit([{ kind: 'delete-journal', key: interfaceKey(record) }]);
  }

  #leave(record: InterfaceRecord, error: unknown): void {
    this.#left.set(interfaceKey(record), record);
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log('warn', `${describeRecord(record)} is left, to be removed before the next change: ${reason}`);
  }

  /** What fails here stays in the journal. */
  async #takeBack(record: InterfaceRecord): Promise<void> {
    try {
      await this.#kernel.remove(record);
      await this.#clear(record);
      this.#left.delete(interfaceKey(record));
    } catch (error) {
      this.#leave(record, error);
    }
  }
}
