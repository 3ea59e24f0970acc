/** What a file or folder says about who may change it. */
export interface Ownership {
  readonly uid: number;
  readonly mode: number;
}

/**
 * True when only root and our own user can change it. A sticky folder does not count: others can add to it. Windows makes
 * up modes that say nothing, so everything passes there.
 */
export function isOursAlone({ uid, mode }: Ownership, platform: NodeJS.Platform = process.platform): boolean {
  if (platform === 'win32') return true;
  return (uid === 0 || uid === process.geteuid?.()) && (mode & MODE_WRITE_OF_OTHERS) === 0;
}

/** Group and others. */
const MODE_WRITE_OF_OTHERS = 0o022;
