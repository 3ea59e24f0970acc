/** What makes the IPv6 networks of one machine differ from those of all others (RFC 4193 §3.2.2). */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { GLOBAL_ID_BYTES } from '../allocation/ula-pool.ts';

/**
 * Derives a Global ID, the same for every daemon of the machine and after its state was lost. Where the machine has no id
 * (machine-id(5)), as on macOS, it is the daemon's own. Nothing of either id can be read from it.
 */
export function deriveGlobalId(machineId: string | undefined, instanceId: string): Uint8Array {
  return createHash('sha256')
    .update(`heddle ula ${machineId ?? instanceId}`)
    .digest()
    .subarray(0, GLOBAL_ID_BYTES);
}

/** Reads the id of the machine: 32 hexadecimal digits. Undefined where there is none, or not yet. */
export function readMachineId(path: string = MACHINE_ID): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return MACHINE_ID_PATTERN.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

const MACHINE_ID = '/etc/machine-id';
/** All zeros are no id. During the first boot the file says `uninitialized`. */
const MACHINE_ID_PATTERN = /^(?!0+$)[0-9a-f]{32}$/;
