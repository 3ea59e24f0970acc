import { isDerivedDeviceName, isDeviceName } from '../plan/device-name.ts';

// A file of the bonding driver beside the links in /sys/class/net; lo0 is the loopback of macOS.
const RESERVED: readonly string[] = ['bonding_masters', 'lo0'];

/**
 * True for a name that a device of the REST API may have. Not `lo`, nor `all` and `default`, which stand for every link in
 * sysctl, nor a name that a team may be given: the team would take the device for its own.
 */
export function isUsableLinkName(name: string): boolean {
  return isDeviceName(name) && !RESERVED.includes(name) && !isDerivedDeviceName(name);
}

/** Chooses the name with the smallest number from 0 that is not taken: `tun0`, `tun1`, … */
export function chooseLinkName(prefix: string, taken: ReadonlySet<string>): string {
  // One of the first taken.size + 1 names is free.
  for (let number = 0; ; number++) if (!taken.has(`${prefix}${number}`)) return `${prefix}${number}`;
}
