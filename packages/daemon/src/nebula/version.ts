/** The version of a Nebula program; field names of logs and the effect of SIGHUP depend on it. */
export interface NebulaVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** Reads what `nebula -version` prints, `Version: 1.11.1`; undefined for anything else, builds without a number too. */
export function parseVersion(stdout: string): NebulaVersion | undefined {
  const match = /^Version: v?(\d{1,5})\.(\d{1,5})\.(\d{1,5})(?![\d.])/.exec(stdout);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) };
}

export function formatVersion({ major, minor, patch }: NebulaVersion): string {
  return `${major}.${minor}.${patch}`;
}

/** True for that minor version and all later ones. */
export function isAtLeast(version: NebulaVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}
