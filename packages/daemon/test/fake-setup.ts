import { parsePrefix } from '@heddle/proto/ip/prefix';
import { InterfaceBook } from '../src/interfaces/interface-book.ts';
import { SubnetInterfaces } from '../src/interfaces/subnet-interfaces.ts';
import { TunInterfaces } from '../src/interfaces/tun-interfaces.ts';
import type { TeamClaims } from '../src/plan/claims.ts';
import { FakeInterfaceStore } from './fake-interface-store.ts';
import { FakeKernel } from './fake-kernel.ts';

/** Both services over a kernel and a store in memory. */
export interface FakeSetup {
  readonly kernel: FakeKernel;
  readonly store: FakeInterfaceStore;
  readonly tun: TunInterfaces;
  readonly subnet: SubnetInterfaces;
}

export function createFakeSetup(
  pools: readonly string[] = ['10.0.0.0/8'],
  teams: readonly TeamClaims[] = [],
): FakeSetup {
  const kernel = new FakeKernel();
  const store = new FakeInterfaceStore();
  const readTeams = async (): Promise<readonly TeamClaims[]> => teams;
  const book = new InterfaceBook({ store, kernel, exclude: (work) => work(), readTeams, log: () => {} });
  let mark = 0;
  const options = {
    book,
    kernel,
    pools: { ipv4: pools.map(mustParse), ipv6: [mustParse('fd12:3456:789a::/48')] },
    findUid: (name: string) => (name === 'alice' ? 1000 : undefined),
    unixMs: () => Date.UTC(2027, 0, 31, 12),
    drawMark: () => {
      mark++;
      return mark;
    },
  };
  return { kernel, store, tun: new TunInterfaces(options), subnet: new SubnetInterfaces(options) };
}

/** Of text that a test wrote. */
export function mustParse(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new TypeError(text);
  return prefix;
}
