import { MacosInterfaces } from '@heddle/host/macos/macos-interfaces';
import { InterfaceBook, type InterfaceLog } from '../src/interfaces/interface-book.ts';
import { MacosKernel } from '../src/interfaces/macos-kernel.ts';
import { SubnetInterfaces } from '../src/interfaces/subnet-interfaces.ts';
import { TunInterfaces } from '../src/interfaces/tun-interfaces.ts';
import type { InterfaceRecord, SubnetRecord, TunRecord } from '../src/store/interface-records.ts';
import { FakeInterfaceStore } from './fake-interface-store.ts';
import { FakeMac } from './fake-mac.ts';
import { mustParse } from './fake-setup.ts';

export const MAC_TUN: TunRecord = {
  kind: 'tun',
  name: 'utun7',
  address: '10.0.0.1',
  prefixBits: 24,
  address6: 'fd00:1::1',
  prefixBits6: 64,
  mtu: 1400,
  isPersistent: false,
  mark: 1001,
  createdUnixMs: 1,
};
export const MAC_SUBNET: SubnetRecord = {
  kind: 'subnet',
  cidr: '10.1.0.0/24',
  address: '10.1.0.1',
  link: 'lo0:0',
  linkKind: 'alias',
  mtu: 1500,
  mark: 1002,
  createdUnixMs: 1,
};
export const MAC_SUBNET6: SubnetRecord = {
  ...MAC_SUBNET,
  cidr: 'fd00:2::/64',
  address: 'fd00:2::1',
  link: 'lo0:1',
  mark: 1003,
};

/** What a process of the daemon has of its interfaces. */
export interface FakeMacDaemon {
  readonly kernel: MacosKernel;
  readonly book: InterfaceBook;
  readonly tun: TunInterfaces;
  readonly subnet: SubnetInterfaces;
}

/** A Mac and a state database in memory, which one daemon after another takes over. */
export class FakeMacSetup {
  readonly mac: FakeMac = new FakeMac();
  readonly store: FakeInterfaceStore = new FakeInterfaceStore();
  readonly warnings: string[] = [];
  pauseCount = 0;

  createKernel(): MacosKernel {
    const pause = async (): Promise<void> => {
      this.pauseCount++;
    };
    return new MacosKernel({ interfaces: new MacosInterfaces(this.mac), pause, log: this.#log });
  }

  startDaemon(): FakeMacDaemon {
    const kernel = this.createKernel();
    const readTeams = async (): Promise<[]> => [];
    const book = new InterfaceBook({ store: this.store, kernel, exclude: (work) => work(), readTeams, log: this.#log });
    let mark = 0;
    const options = {
      book,
      kernel,
      pools: { ipv4: [mustParse('10.0.0.0/8')], ipv6: [mustParse('fd12:3456:789a::/48')] },
      findUid: () => undefined,
      unixMs: () => Date.UTC(2027, 0, 31, 12),
      drawMark: () => {
        mark++;
        return mark;
      },
    };
    return { kernel, book, tun: new TunInterfaces(options), subnet: new SubnetInterfaces(options) };
  }

  readonly #log: InterfaceLog = (level, message) => {
    if (level === 'warn') this.warnings.push(message);
  };
}

/** The links that a kernel takes for those of records. */
export async function listOwn(
  kernel: MacosKernel,
  records: readonly InterfaceRecord[],
): Promise<readonly (readonly [name: string, mark: number])[]> {
  const links = await kernel.links(records);
  return links.filter(({ mark }) => mark !== 0).map(({ name, mark }) => [name, mark]);
}
