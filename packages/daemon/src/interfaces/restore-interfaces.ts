import type { IpPrefix } from '@heddle/proto/ip/prefix';
import { readBusyPrefixes } from '../allocation/busy-prefixes.ts';
import { parseNetwork } from '../allocation/cidr-text.ts';
import { judgeRequest } from '../allocation/judge-request.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { HostFacts } from '../plan/host-facts.ts';
import type { InterfaceRecord } from '../store/interface-records.ts';
import type { InterfaceLog } from './interface-book.ts';
import type { InterfaceKernel, KernelLink } from './interface-kernel.ts';
import { addressesOf, describeRecord, findLinkOf, linkNameOf, stateOf } from './record-facts.ts';

export interface RestoreOptions {
  readonly records: readonly InterfaceRecord[];
  readonly kernel: InterfaceKernel;
  readonly teams: readonly TeamClaims[];
  readonly log: InterfaceLog;
}

/**
 * Makes the kernel as the records say: adopts what is there, gives it back what somebody took, makes what is missing. What
 * cannot be mended without touching what others have is left, and said in the log. One failure does not end it.
 */
export async function restoreInterfaces(options: RestoreOptions): Promise<void> {
  const { records, kernel, teams, log } = options;
  // Looked at once: what is made again here cannot be in the way of the next, and thousands of records may be missing.
  const host = await kernel.readHost();
  const links = new Map((await kernel.links(records)).map((link) => [link.name, link]));
  const restore = new Restoration({ kernel, teams, log, host, links });
  for (const record of records) await restore.run(record);
}

interface Machine extends Omit<RestoreOptions, 'records'> {
  readonly host: HostFacts;
  readonly links: ReadonlyMap<string, KernelLink>;
}

class Restoration {
  readonly #machine: Machine;
  /** Of a link that is not there, nothing of the machine is our own. */
  #refuse: Refusal | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  async run(record: InterfaceRecord): Promise<void> {
    try {
      const obstacle = await this.#mend(record);
      if (obstacle !== undefined) this.#report(record, obstacle);
    } catch (error) {
      this.#report(record, error instanceof Error ? error.message : String(error));
    }
  }

  /** What is in the way. */
  async #mend(record: InterfaceRecord): Promise<string | undefined> {
    const { kernel, links, log } = this.#machine;
    const link = findLinkOf(record, links);
    if (link !== undefined) return this.#repair(record, link);
    const elsewhere = [...links.values()].find(({ mark }) => mark === record.mark);
    if (elsewhere !== undefined) return `its link is called "${elsewhere.name}" now`;
    const name = linkNameOf(record);
    if (links.has(name)) return `a link of somebody else is called "${name}"`;
    this.#refuse ??= refusalsOf(this.#machine, this.#machine.host);
    const refusal = this.#refuse(addressesOf(record));
    if (refusal !== undefined) return refusal;
    await makeLink(kernel, record, Promise.resolve());
    log('info', `Made ${describeRecord(record)} again`);
    return undefined;
  }

  async #repair(record: InterfaceRecord, link: KernelLink): Promise<string | undefined> {
    const { kernel, host, log } = this.#machine;
    if (stateOf(record, link) === 'active') {
      await kernel.repair(record);
      return undefined;
    }
    const missing = addressesOf(record).filter((cidr) => !link.addresses.includes(cidr));
    const refusal = refusalsOf(this.#machine, withoutLink(host, link.name))(missing);
    if (refusal !== undefined) return refusal;
    await kernel.repair(record);
    log('info', `Mended ${describeRecord(record)}`);
    return undefined;
  }

  #report(record: InterfaceRecord, reason: string): void {
    this.#machine.log('warn', `${describeRecord(record)} is not as it should be: ${reason}`);
  }
}

/** Makes the link of a record; as the kernel says of `journalled`. */
export function makeLink(kernel: InterfaceKernel, record: InterfaceRecord, journalled: Promise<void>): Promise<void> {
  return record.kind === 'tun' ? kernel.makeTun(record, journalled) : kernel.makeSubnet(record, journalled);
}

type Refusal = (cidrs: readonly string[]) => string | undefined;

function refusalsOf({ teams }: Pick<Machine, 'teams'>, host: HostFacts): Refusal {
  const busy = readBusyPrefixes({ host, teams, own: [] });
  return (cidrs) => cidrs.flatMap((cidr) => judgeRequest(networkOfText(cidr), busy).refusals)[0];
}

function withoutLink(host: HostFacts, name: string): HostFacts {
  return {
    ...host,
    addresses: host.addresses.filter(({ link }) => link !== name),
    routes: host.routes.filter(({ link }) => link !== name),
    reservedSubnets: host.reservedSubnets.filter((one) => one.name !== name),
  };
}

/** Of a record, whose texts were checked when it was stored; host bits are cleared. */
function networkOfText(cidr: string): IpPrefix {
  const text = parseNetwork(cidr);
  const network = text.kind === 'host-bits' ? parseNetwork(text.hint) : text;
  if (network.kind !== 'ok') throw new TypeError(`"${cidr}" is no network`);
  return network.prefix;
}
