import { spawnSync } from 'node:child_process';

/** nobody */
const UID = 65_534;

/**
 * True where this process may start Node.js as another user: it is root on Linux, and the binary is not in a folder that only
 * root may enter.
 */
export const CAN_RUN_AS_OTHERS: boolean =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ['-e', ''], { uid: UID, gid: UID }).status === 0;
