import { performance } from 'node:perf_hooks';
import type { Address } from '@heddle/host/netlink/address';
import type { Link } from '@heddle/host/netlink/link';
import { Netlink } from '@heddle/host/netlink/netlink';
import type { Route } from '@heddle/host/netlink/route';

/** What the kernel says about a device. */
export interface DeviceState {
  readonly isUp: boolean;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  /** Prefixes whose route in the main table leads to the device. */
  readonly routes: readonly string[];
}

/**
 * Asks for one device; `undefined` when there is none of that name, `unknown` when the kernel does not answer. What it said
 * at most `ageMaxMs` ago, about any device, is good enough.
 */
export type DeviceProbe = (device: string, ageMaxMs: number) => DeviceState | 'unknown' | undefined;

const MAIN_TABLE = 254;

interface Snapshot {
  readonly atMs: number;
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
}

/** Asks the kernel of Linux; on other systems there is no probe. */
export function createDeviceProbe(): DeviceProbe | undefined {
  if (process.platform !== 'linux') return undefined;
  let snapshot: Snapshot | undefined;
  return (device, ageMaxMs) => {
    const nowMs = performance.now();
    if (snapshot === undefined || nowMs - snapshot.atMs > ageMaxMs) {
      try {
        snapshot = takeSnapshot(nowMs);
      } catch {
        return 'unknown';
      }
    }
    return describeDevice(device, snapshot);
  };
}

function takeSnapshot(atMs: number): Snapshot {
  const netlink = Netlink.open();
  try {
    return { atMs, links: netlink.links(), addresses: netlink.addresses(), routes: netlink.routes() };
  } finally {
    netlink.close();
  }
}

function describeDevice(device: string, { links, addresses, routes }: Snapshot): DeviceState | undefined {
  const link = links.find(({ name }) => name === device);
  if (link === undefined) return undefined;
  return {
    isUp: link.isUp,
    addresses: addresses.filter(({ linkIndex }) => linkIndex === link.index).map(({ address }) => address),
    routes: routes
      .filter(({ linkIndex, table }) => linkIndex === link.index && table === MAIN_TABLE)
      .map(({ prefix }) => prefix),
  };
}
