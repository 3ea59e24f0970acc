import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { InterfaceKernel, KernelLink, SubnetKind } from '../src/interfaces/interface-kernel.ts';
import { addressesOf, linkNameOf } from '../src/interfaces/record-facts.ts';
import type { HostFacts } from '../src/plan/host-facts.ts';
import type { InterfaceRecord, SubnetRecord, TunRecord } from '../src/store/interface-records.ts';

/** A kernel in memory. Links of others are put into `links` by the test. */
export class FakeKernel implements InterfaceKernel {
  tunPrefix: 'tun' | 'utun' = 'tun';
  subnetPrefix: 'dummy' | 'lo0:' = 'dummy';
  canPersist = true;
  subnetKinds: SubnetKind[] = ['dummy', 'bridge', 'ifb', 'tun'];
  readonly linkTable = new Map<string, KernelLink>();
  /** Of others, beside what the links have. */
  readonly routes: HostFacts['routes'][number][] = [];
  /** Every change, in order. */
  readonly calls: string[] = [];
  /** The next calls of a name fail with this, each once. */
  readonly failures: { readonly call: string; readonly error: TailnetError }[] = [];
  readonly missingKinds = new Set<SubnetKind>();
  isClosed = false;
  readonly #held = new Set<string>();

  async readHost(): Promise<HostFacts> {
    const all = [...this.linkTable.values()];
    return {
      links: all.map(({ name }) => ({ name, isUp: true })),
      addresses: all.flatMap(({ name, addresses }) => addresses.map((cidr) => ({ link: name, cidr }))),
      routes: this.routes,
      usedUdpPorts: [],
      usedTcpPorts: [],
      reservedSubnets: [],
    };
  }

  async links(): Promise<readonly KernelLink[]> {
    return [...this.linkTable.values()];
  }

  async makeTun(record: TunRecord, journalled: Promise<void>): Promise<void> {
    await journalled;
    this.#begin('makeTun', record);
    this.#add(record, !record.isPersistent);
    if (!record.isPersistent) this.#held.add(record.name);
  }

  async makeSubnet(record: SubnetRecord, journalled: Promise<void>): Promise<void> {
    await journalled;
    this.#begin('makeSubnet', record);
    if (this.missingKinds.has(record.linkKind)) {
      this.subnetKinds = this.subnetKinds.filter((kind) => kind !== record.linkKind);
      throw new TailnetError('interface/unsupported', `no ${record.linkKind}`);
    }
    this.#add(record, true);
  }

  async repair(record: InterfaceRecord): Promise<void> {
    this.#begin('repair', record);
    const link = this.linkTable.get(linkNameOf(record));
    if (link !== undefined)
      this.linkTable.set(link.name, { ...link, addresses: addressesOf(record), isUp: true, mtu: record.mtu });
  }

  async remove(record: InterfaceRecord): Promise<void> {
    this.#begin('remove', record);
    for (const [name, { mark }] of this.linkTable) if (mark === record.mark) this.linkTable.delete(name);
    this.#held.delete(linkNameOf(record));
  }

  async isInUse({ name, mark }: TunRecord): Promise<boolean> {
    const link = [...this.linkTable.values()].find((one) => one.mark === mark);
    return !this.#held.has(name) && (link?.hasCarrier ?? false);
  }

  close(): void {
    this.isClosed = true;
  }

  /** A link that somebody else made. */
  addForeign(name: string, addresses: readonly string[] = []): void {
    this.linkTable.set(name, { name, mark: 0, mtu: 1500, hasCarrier: true, isUp: true, addresses });
  }

  /** As when the process is killed: attached devices go, everything else stays. */
  die(): void {
    for (const name of this.#held) this.linkTable.delete(name);
    this.#held.clear();
  }

  #begin(call: string, record: InterfaceRecord): void {
    this.calls.push(`${call} ${linkNameOf(record)}`);
    const at = this.failures.findIndex((failure) => failure.call === call);
    const [failure] = at < 0 ? [] : this.failures.splice(at, 1);
    if (failure !== undefined) throw failure.error;
  }

  #add(record: InterfaceRecord, hasCarrier: boolean): void {
    const name = linkNameOf(record);
    if (this.linkTable.has(name)) throw new TailnetError('tun/name-taken', `A link called "${name}" is there already`);
    this.linkTable.set(name, {
      name,
      mark: record.mark,
      mtu: record.mtu,
      hasCarrier,
      addresses: addressesOf(record),
      isUp: true,
    });
  }
}
