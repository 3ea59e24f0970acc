/**
 * Makes and removes interfaces so that the kernel and the state database agree whenever the process ends:
 *
 *     make      journal "make" ─▶ kernel ─▶ record, and no journal       (one synced batch)
 *     remove    no record, and journal "remove" (one synced batch) ─▶ kernel ─▶ no journal
 *
 * What is found in the journal at the start was interrupted: what was being made is taken back, what was being removed is
 * removed. A link is ours when it bears the mark of a record or of a journal entry, a random number that the kernel keeps
 * with the link from its first moment; its name and its alias prove nothing. macOS keeps no such number: see MacosKernel.
 *
 * Everything that changes something runs one after another, and under a lock that other daemons of this machine take as
 * well, from the look at the kernel's tables to the address on the link: two never choose the same network.
 */

import type { IpPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type BusyPrefixes, readBusyPrefixes } from '../allocation/busy-prefixes.ts';
import { parseNetwork } from '../allocation/cidr-text.ts';
import { judgeRequest } from '../allocation/judge-request.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { ReservedSubnet } from '../plan/host-facts.ts';
import { INTERFACE_COUNT_MAX, type InterfaceRecord, interfaceKey } from '../store/interface-records.ts';
import type { StateStore } from '../store/state-store.ts';
import type { InterfaceKernel, KernelLink } from './interface-kernel.ts';
import { networkOf } from './link-alias.ts';
import { SerialQueue } from './serial-queue.ts';

export type InterfaceLog = (
  level: 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, string | number>>,
) => void;

export interface BookOptions {
  readonly store: Pick<StateStore, 'interfaces' | 'interface' | 'journal' | 'commit'>;
  readonly kernel: InterfaceKernel;
  /** Keeps other heddle daemons of this machine out while the work runs. */
  readonly exclude: <T>(work: () => Promise<T>) => Promise<T>;
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

/** Changes that may wait. */
const CHANGE_COUNT_MAX = 64;

export class InterfaceBook {
  readonly #options: BookOptions;
  readonly #store: BookOptions['store'];
  readonly #kernel: InterfaceKernel;
  readonly #changes = new SerialQueue(CHANGE_COUNT_MAX);
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
  change<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed)
      return Promise.reject(new TailnetError('rest/busy', 'The daemon is ending', { isRetryable: true }));
    if (this.#changes.isFull) {
      const message = `${CHANGE_COUNT_MAX} changes wait already`;
      return Promise.reject(new TailnetError('rest/busy', message, { isRetryable: true }));
    }
    return this.#changes.run(() => this.#options.exclude(work));
  }

  /** Refuses further changes, and resolves when those that were accepted have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#changes.run(async () => {});
  }

  /** Looks at the machine, as it is and as the store wants it. */
  look(): Promise<Surroundings> {
    return this.#look(this.records());
  }

  async #look(records: readonly InterfaceRecord[]): Promise<Surroundings> {
    const [host, teams] = await Promise.all([this.#kernel.readHost(), this.#options.readTeams()]);
    return {
      busy: readBusyPrefixes({ host, teams, own: records.flatMap(reservationsOf) }),
      takenNames: new Set([...host.links.map(({ name }) => name), ...records.map(linkNameOf)]),
    };
  }

  /**
   * Makes what the record says.
   * @throws {TailnetError} those of the kernel and of the store; nothing is left then.
   */
  async make(record: InterfaceRecord): Promise<void> {
    if (this.records().length >= INTERFACE_COUNT_MAX) {
      throw new TailnetError('allocation/too-many', `There are ${INTERFACE_COUNT_MAX} interfaces already`);
    }
    const key = interfaceKey(record);
    const journalled = this.#store.commit([{ kind: 'put-journal', entry: { intent: 'make', record } }]);
    // The kernel waits for it before there is anything to lose; until then nobody listens.
    journalled.catch(() => {});
    try {
      await this.#makeLink(record, journalled);
      await this.#store.commit([
        { kind: 'put-interface', record },
        { kind: 'delete-journal', key },
      ]);
    } catch (error) {
      await this.#takeBack(record);
      throw error;
    }
    this.#options.log('info', `Made ${describeRecord(record)}`);
  }

  /** Removes what the record says from the kernel and from the store. */
  async remove(record: InterfaceRecord): Promise<void> {
    const key = interfaceKey(record);
    await this.#store.commit([
      { kind: 'delete-interface', key },
      { kind: 'put-journal', entry: { intent: 'remove', record } },
    ]);
    try {
      await this.#kernel.remove(record);
    } catch (error) {
      await this.#store.commit([
        { kind: 'put-interface', record },
        { kind: 'delete-journal', key },
      ]);
      throw error;
    }
    // Nobody needs to wait: a start that finds the entry has nothing left to remove.
    this.#clear(record).catch((error: unknown) => this.#reportLeft(record, error));
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
      // Read once: what is made again here cannot be in the way of the next, and thousands of records may be missing.
      const { busy } = await this.#look([]);
      const links = await this.links();
      for (const record of this.records()) await this.#restore(record, links, busy);
    });
  }

  async #clearJournal(): Promise<void> {
    for (const { intent, record } of this.#store.journal()) {
      const what = intent === 'make' ? 'was not finished' : 'was not removed to the end';
      this.#options.log('warn', `${describeRecord(record)} ${what} when the daemon ended; removing it`);
      await this.#takeBack(record);
    }
  }

  #clear(record: InterfaceRecord): Promise<void> {
    return this.#store.commit([{ kind: 'delete-journal', key: interfaceKey(record) }]);
  }

  #reportLeft(record: InterfaceRecord, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log('warn', `${describeRecord(record)} is left for the next start to remove: ${reason}`);
  }

  async #restore(record: InterfaceRecord, links: ReadonlyMap<string, KernelLink>, busy: BusyPrefixes): Promise<void> {
    const name = describeRecord(record);
    try {
      const link = links.get(linkNameOf(record));
      if (link?.mark === record.mark) return await this.#kernel.repair(record);
      const elsewhere = [...links.values()].find(({ mark }) => mark === record.mark);
      if (elsewhere !== undefined) return this.#report(name, `its link is called "${elsewhere.name}" now`);
      if (link !== undefined) return this.#report(name, `a link of somebody else is called "${link.name}"`);
      const [refusal] = reservationsOf(record).flatMap(({ cidr }) => judgeRequest(networkOfText(cidr), busy).refusals);
      if (refusal !== undefined) return this.#report(name, refusal);
      await this.#makeLink(record, Promise.resolve());
      this.#options.log('info', `Made ${name} again`);
    } catch (error) {
      this.#report(name, error instanceof Error ? error.message : String(error));
    }
  }

  #report(name: string, reason: string): void {
    this.#options.log('warn', `${name} is not there: ${reason}`);
  }

  #makeLink(record: InterfaceRecord, journalled: Promise<void>): Promise<void> {
    return record.kind === 'tun'
      ? this.#kernel.makeTun(record, journalled)
      : this.#kernel.makeSubnet(record, journalled);
  }

  /** What fails here is left in the journal, for the next start. */
  async #takeBack(record: InterfaceRecord): Promise<void> {
    try {
      await this.#kernel.remove(record);
      await this.#clear(record);
    } catch (error) {
      this.#reportLeft(record, error);
    }
  }
}

/** The link that carries the interface; on macOS a subnet has none of its own. */
export function linkNameOf(record: InterfaceRecord): string {
  return record.kind === 'tun' ? record.name : record.link;
}

/** For people. */
export function describeRecord(record: InterfaceRecord): string {
  const what = record.kind === 'tun' ? 'TUN device' : 'Subnet';
  return record.kind === 'tun' ? `${what} "${record.name}" (${networkOf(record)})` : `${what} ${record.cidr}`;
}

/** The networks of a record, under the name of its link. */
function reservationsOf(record: InterfaceRecord): readonly ReservedSubnet[] {
  const name = linkNameOf(record);
  if (record.kind === 'subnet') return [{ name, cidr: record.cidr }];
  const second = record.address6 === undefined ? [] : [{ name, cidr: `${record.address6}/${record.prefixBits6}` }];
  return [{ name, cidr: networkOf(record) }, ...second];
}

/** Of a record, whose texts were checked when it was stored; host bits are cleared. */
function networkOfText(cidr: string): IpPrefix {
  const text = parseNetwork(cidr);
  const network = text.kind === 'host-bits' ? parseNetwork(text.hint) : text;
  if (network.kind !== 'ok') throw new TypeError(`"${cidr}" is no network`);
  return network.prefix;
}
