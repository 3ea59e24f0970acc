/** What a team asks of a port number, and who else has or wants one. */
export interface PortWish {
  /** What it had the last time. */
  readonly remembered: number | undefined;
  /** Undefined or 0: any. */
  readonly wanted: number | undefined;
  readonly isTaken: (port: number) => boolean;
  /** True for a port that is left to a team that remembers it. */
  readonly isKept: (port: number) => boolean;
}

export type PortChoice =
  /** 0: any. `movedFrom` is the wish that was not free. */
  | { readonly kind: 'port'; readonly port: number; readonly movedFrom: number | undefined }
  | { readonly kind: 'none'; readonly movedFrom: number };

/** Highest UDP and TCP port. */
export const PORT_MAX = 65_535;

// Nobody moves into the ports of system services.
const MOVED_PORT_MIN = 1024;

/** True for a port to listen at, 0 excluded. */
export function isPort(value: number | undefined): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= PORT_MAX;
}

/** Takes the remembered port, else the wanted one, else the next free one above it, and then from 1024 on. */
export function choosePort({ remembered, wanted, isTaken, isKept }: PortWish): PortChoice {
  const kept = isPort(remembered) ? remembered : undefined;
  if (kept !== undefined && !isTaken(kept)) return { kind: 'port', port: kept, movedFrom: undefined };
  const wish = isPort(wanted) ? wanted : undefined;
  const first = kept ?? wish;
  if (first === undefined) return { kind: 'port', port: 0, movedFrom: undefined };
  const isFree = (port: number): boolean => !isTaken(port) && !isKept(port);
  if (wish !== undefined && isFree(wish)) {
    return { kind: 'port', port: wish, movedFrom: first === wish ? undefined : first };
  }
  const next = findNext(wish ?? first, isFree);
  return next === undefined ? { kind: 'none', movedFrom: first } : { kind: 'port', port: next, movedFrom: first };
}

function findNext(from: number, isFree: (port: number) => boolean): number | undefined {
  for (let port = Math.max(from + 1, MOVED_PORT_MIN); port <= PORT_MAX; port++) if (isFree(port)) return port;
  for (let port = MOVED_PORT_MIN; port < from; port++) if (isFree(port)) return port;
  return undefined;
}
