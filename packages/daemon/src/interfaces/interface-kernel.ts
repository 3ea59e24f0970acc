import type { HostFacts } from '../plan/host-facts.ts';
import type { InterfaceRecord, SubnetRecord, TunRecord } from '../store/interface-records.ts';

/** What stands in for a network card: on Linux the first that the kernel has. */
export type SubnetKind = SubnetRecord['linkKind'];

/** A link of the machine, whoever made it. */
export interface KernelLink {
  readonly name: string;
  /** 0: nobody's. On macOS, which keeps no mark, that of the record the link is taken for. */
  readonly mark: number;
  readonly mtu: number;
  /** Of a TUN device: a program has it open. Known up to a second late. */
  readonly hasCarrier: boolean;
  readonly isUp: boolean;
  /** With the bits of their network, `10.0.0.1/24`. */
  readonly addresses: readonly string[];
}

/**
 * The operating system, as far as devices and subnets need it.
 *
 * Error contract: what fails leaves nothing behind. Everything rejects with a TailnetError: `interface/no-privilege`,
 * `interface/kernel-refused`, `interface/unsupported` (this kind of link is not known), `tun/name-taken`,
 * `tun/not-supported` (a wish for the device that no device here meets), `allocation/overlap` (somebody was quicker).
 */
export interface InterfaceKernel {
  /** What a TUN device is called here; numbers follow. */
  readonly tunPrefix: 'tun' | 'utun';
  /** What the link of a subnet is called; numbers follow. On macOS that is only a name for people. */
  readonly subnetPrefix: 'dummy' | 'lo0:';
  /** False where a TUN device cannot outlive the process that holds it. */
  readonly canPersist: boolean;
  /** Kinds of links for a subnet, the best first; kinds that were refused as unknown are left out. */
  readonly subnetKinds: readonly SubnetKind[];
  readHost(): Promise<HostFacts>;
  /** @param records Those of heddle, among which a system without marks finds whose a link is. */
  links(records: readonly InterfaceRecord[]): Promise<readonly KernelLink[]>;
  /**
   * Makes the device. Nothing that outlives this process is made before `journalled` has resolved; when that rejects, so
   * does this.
   */
  makeTun(record: TunRecord, journalled: Promise<void>): Promise<void>;
  /** As {@link makeTun}. */
  makeSubnet(record: SubnetRecord, journalled: Promise<void>): Promise<void>;
  /** Sets again what somebody took from the link of the record, which is there: addresses, MTU, being up. */
  repair(record: InterfaceRecord): Promise<void>;
  /** Removes the link, if it bears the mark of the record. */
  remove(record: InterfaceRecord): Promise<void>;
  /** True when another process has the device open now, whatever it is called and whether it is up. */
  isInUse(record: TunRecord): Promise<boolean>;
  /** Lets go of what this process holds; what persists stays. */
  close(): void;
}
