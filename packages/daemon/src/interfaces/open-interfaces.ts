import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLockError, lockFile } from '@heddle/host/file-lock';
import { MacosInterfaces } from '@heddle/host/macos/macos-interfaces';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { deriveUlaPool } from '../allocation/ula-pool.ts';
import { parsePasswd } from '../config/operators.ts';
import type { TeamClaims } from '../plan/claims.ts';
import type { StateStore } from '../store/state-store.ts';
import type { AddressPools } from './choose-network.ts';
import { deriveGlobalId, readMachineId } from './global-id.ts';
import { InterfaceBook, type InterfaceLog } from './interface-book.ts';
import type { InterfaceKernel } from './interface-kernel.ts';
import type { SubnetService, TunService } from './interface-service.ts';
import { LinuxKernel } from './linux-kernel.ts';
import { MacosKernel } from './macos-kernel.ts';
import { drawMark } from './random-mark.ts';
import { SubnetInterfaces } from './subnet-interfaces.ts';
import { TunInterfaces } from './tun-interfaces.ts';

export interface InterfacesSetup {
  readonly store: StateStore;
  /** A file that every heddle daemon of this machine locks for a change. */
  readonly lockPath: string;
  /** A family without a pool gets none from the user's hand: IPv6 then has one of the machine's own. */
  readonly pools: AddressPools;
  readonly readTeams: () => Promise<readonly TeamClaims[]>;
  readonly log: InterfaceLog;
}

/** The interfaces of one state database, in service. */
export interface OpenInterfaces {
  readonly tun: TunService;
  readonly subnet: SubnetService;
  /** Removes everything that is recorded. */
  removeAll(): Promise<void>;
  /** Waits for the change that runs, then lets go of the devices that this process holds. Later changes fail. */
  close(): Promise<void>;
}

/** While macOS takes a device away; each look starts a command. */
const LOOK_AGAIN_MS = 20;

/**
 * Makes the kernel as the state database says, and then serves changes.
 * @throws {TailnetError} `interface/*` when the kernel cannot be asked at all.
 */
export async function openInterfaces(setup: InterfacesSetup): Promise<OpenInterfaces> {
  const { store, log, readTeams } = setup;
  if (!mayChangeLinks()) log('warn', 'Without CAP_NET_ADMIN nothing can be made or removed');
  const kernel = openKernel(store.meta.instanceId, log);
  const exclude = <T>(work: () => Promise<T>, patienceMs: number): Promise<T> =>
    withLock(setup.lockPath, patienceMs, work);
  const book = new InterfaceBook({ store, kernel, exclude, readTeams, log });
  try {
    await book.reconcile();
  } catch (error) {
    kernel.close();
    throw error;
  }
  const ipv6 =
    setup.pools.ipv6.length > 0
      ? setup.pools.ipv6
      : [deriveUlaPool(deriveGlobalId(readMachineId(), store.meta.instanceId))];
  const options = {
    book,
    kernel,
    pools: { ipv4: setup.pools.ipv4, ipv6 },
    findUid,
    unixMs: () => Date.now(),
    drawMark,
  };
  return {
    tun: new TunInterfaces(options),
    subnet: new SubnetInterfaces(options),
    removeAll: () => book.removeAll(),
    close: () => book.close().then(() => kernel.close()),
  };
}

/** CAP_NET_ADMIN, of proc_pid_status(5). True where it cannot be told. */
function mayChangeLinks(): boolean {
  if (process.platform !== 'linux') return true;
  const [, effective] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return effective === undefined || (BigInt(`0x${effective}`) & CAP_NET_ADMIN) !== 0n;
}

const CAP_NET_ADMIN = 1n << 12n;

function openKernel(instanceId: string, log: InterfaceLog): InterfaceKernel {
  if (process.platform === 'linux') return new LinuxKernel(instanceId, log);
  if (process.platform === 'darwin') {
    return new MacosKernel({ interfaces: new MacosInterfaces(), pause: () => sleep(LOOK_AGAIN_MS), log });
  }
  throw new TailnetError('interface/unsupported', `There are no interfaces on ${process.platform}`);
}

async function withLock<T>(path: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const lock = await lockFile(path, { timeoutMs, signal: undefined }).catch((cause: unknown) => {
    if (!(cause instanceof FileLockError)) throw cause;
    const code = cause.code === 'file-lock/busy' ? 'rest/busy' : 'interface/not-stored';
    throw new TailnetError(code, cause.message, { cause, isRetryable: cause.isRetryable });
  });
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** passwd(5) is read anew: users come and go. */
function findUid(name: string): number | undefined {
  return parsePasswd(readFileSync('/etc/passwd', 'utf8')).get(name);
}
