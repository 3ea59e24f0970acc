import { formatPrefix, type IpPrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { type FreeNetwork, listFree } from '../allocation/allocate.ts';
import { firstHost, parseNetwork } from '../allocation/cidr-text.ts';
import { chooseLinkName } from '../allocation/link-name.ts';
import type { FreeSubnets, SubnetInfo, SubnetRequest } from '../schema/interface-api.ts';
import type { InterfaceRecord, SubnetRecord } from '../store/interface-records.ts';
import { chooseNetwork, takeNetwork } from './choose-network.ts';
import type { Surroundings } from './interface-book.ts';
import type { KernelLink, SubnetKind } from './interface-kernel.ts';
import type { Caller, FreeQuery, SubnetService } from './interface-service.ts';
import { KeptList } from './kept-list.ts';
import { findLinkOf, stateOf } from './record-facts.ts';
import { type InterfacesOptions, MTU_MIN_IPV6 } from './tun-interfaces.ts';

const BITS = 24;
const BITS6 = 64;
const MTU = 1500;
/** Names that others took meanwhile, and kinds that this kernel does not have. */
const ATTEMPT_COUNT_MAX = 12;

/** The local subnets that heddle made. */
export class SubnetInterfaces implements SubnetService {
  readonly #o: InterfacesOptions;
  readonly #list = new KeptList((links: ReadonlyMap<string, KernelLink>, records: readonly InterfaceRecord[]) => {
    return records.filter((record) => record.kind === 'subnet').map((record) => describe(record, links));
  });

  constructor(options: InterfacesOptions) {
    this.#o = options;
  }

  async list(): Promise<readonly SubnetInfo[]> {
    return this.#list.of(await this.#o.book.links(), this.#o.book.records());
  }

  async find(cidr: string): Promise<SubnetInfo> {
    const record = this.#record(cidr);
    return describe(record, await this.#o.book.links());
  }

  create(request: SubnetRequest, caller: Caller): Promise<SubnetInfo> {
    return this.#o.book.change(async () => {
      const asked = request.cidr === undefined ? undefined : readCidr(request.cidr);
      if (asked !== undefined) await this.#refuseKnown(asked, request);
      const surroundings = await this.#o.book.look();
      const { prefix, warnings } = this.#chooseNetwork(asked, request, surroundings);
      const { mtu = MTU } = request;
      if (prefix.address.family === 6 && mtu < MTU_MIN_IPV6) {
        throw new TailnetError('subnet/bad-mtu', `An mtu of ${mtu} is too small`);
      }
      const record = await this.#make({ prefix, mtu, caller }, surroundings);
      const info = describe(record, await this.#o.book.links());
      return warnings.length === 0 ? info : { ...info, warnings };
    });
  }

  delete(cidr: string): Promise<void> {
    return this.#o.book.change(() => this.#o.book.remove(this.#record(cidr)));
  }

  async listFree({ family, prefixLength, countMax }: FreeQuery): Promise<FreeSubnets> {
    const { busy } = await this.#o.book.look();
    const pools = this.#poolsOf(family);
    const bits = prefixLength ?? bitsOf(family);
    checkBits(bits, family);
    const free = listFree({ pools, bits, busy, countMax });
    return { free: free.map(({ prefix }) => formatPrefix(prefix)) };
  }

  #record(cidr: string): SubnetRecord {
    const record = this.#o.book.record(`subnet/${formatPrefix(readCidr(cidr))}`);
    if (record?.kind === 'subnet') return record;
    throw new TailnetError('subnet/unknown', `There is no subnet ${cidr} of heddle`);
  }

  /** Said better than "it overlaps with itself". */
  async #refuseKnown(prefix: IpPrefix, { family, prefix_length: bits }: SubnetRequest): Promise<void> {
    const isContrary =
      (family ?? prefix.address.family) !== prefix.address.family || (bits ?? prefix.bits) !== prefix.bits;
    if (isContrary)
      throw new TailnetError('rest/bad-field', '"cidr" has another size or family than is asked for beside it');
    const text = formatPrefix(prefix);
    const record = this.#o.book.record(`subnet/${text}`);
    if (record?.kind !== 'subnet') return;
    const isMissing = findLinkOf(record, await this.#o.book.links()) === undefined;
    const missing = `Subnet ${text} is recorded, but somebody removed its link; delete it first, or restart the daemon`;
    throw new TailnetError(
      'subnet/exists',
      isMissing ? missing : `Subnet ${text} is there already, on "${record.link}"`,
    );
  }

  #chooseNetwork(asked: IpPrefix | undefined, request: SubnetRequest, { busy }: Surroundings): FreeNetwork {
    if (asked !== undefined) return takeNetwork(asked, busy, 'subnet/forbidden-range');
    const { family = 4, prefix_length: bits = bitsOf(family) } = request;
    checkBits(bits, family);
    return chooseNetwork(this.#poolsOf(family), bits, busy);
  }

  #poolsOf(family: 4 | 6): readonly IpPrefix[] {
    return family === 4 ? this.#o.pools.ipv4 : this.#o.pools.ipv6;
  }

  async #make(plan: SubnetPlan, { takenNames }: Surroundings): Promise<SubnetRecord> {
    const taken = new Set(takenNames);
    for (let attempt = 1; ; attempt++) {
      const [linkKind] = this.#o.kernel.subnetKinds;
      if (linkKind === undefined)
        throw new TailnetError('interface/unsupported', 'This system has no kind of link for a subnet');
      const link = chooseLinkName(this.#o.kernel.subnetPrefix, taken);
      const record = this.#createRecord(plan, link, linkKind);
      try {
        await this.#o.book.make(record);
        return record;
      } catch (error) {
        // What the kernel does not know is no longer among its kinds.
        const mayRetry = error instanceof TailnetError && RETRIED.has(error.code);
        if (!mayRetry || attempt === ATTEMPT_COUNT_MAX) throw error;
        if (error.code === 'tun/name-taken') taken.add(link);
      }
    }
  }

  #createRecord({ prefix, mtu, caller }: SubnetPlan, link: string, linkKind: SubnetKind): SubnetRecord {
    return {
      kind: 'subnet',
      cidr: formatPrefix(prefix),
      address: firstHost(prefix).text,
      link,
      linkKind,
      mtu,
      mark: this.#o.drawMark(),
      createdByUid: caller.uid,
      createdUnixMs: this.#o.unixMs(),
    };
  }
}

interface SubnetPlan {
  readonly prefix: IpPrefix;
  readonly mtu: number;
  readonly caller: Caller;
}

const RETRIED: ReadonlySet<string> = new Set(['tun/name-taken', 'interface/unsupported']);

function bitsOf(family: 4 | 6): number {
  return family === 4 ? BITS : BITS6;
}

/** The bounds of a request hold for both families. */
function checkBits(bits: number, family: 4 | 6): void {
  const [min, max] = family === 4 ? [8, 30] : [48, 126];
  if (bits >= min && bits <= max) return;
  const message = `A network of IPv${family} has ${min} to ${max} bits, not ${bits}`;
  throw new TailnetError('rest/bad-field', `"prefix_length": ${message}`);
}

function readCidr(text: string): IpPrefix {
  const result = parseNetwork(text);
  if (result.kind === 'ok') return result.prefix;
  if (result.kind === 'bad-cidr') throw new TailnetError('subnet/bad-cidr', `"${text}" is no network`);
  throw new TailnetError('subnet/host-bits', `"${text}" has host bits; its network is ${result.hint}`);
}

function describe(record: SubnetRecord, links: ReadonlyMap<string, KernelLink>): SubnetInfo {
  const { cidr, address, link: name, linkKind } = record;
  const link = findLinkOf(record, links);
  return {
    network: cidr,
    cidr,
    interface: name,
    ip_addr: address,
    kind: linkKind,
    mtu: link?.mtu ?? record.mtu,
    state: stateOf(record, link),
    created_by: record.createdByUid ?? null,
    created_at: new Date(record.createdUnixMs).toISOString(),
  };
}
