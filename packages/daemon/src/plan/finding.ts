/** A refusal keeps the team from starting; `moved` says that another device or port was chosen. */
export type FindingSeverity = 'refusal' | 'moved' | 'warning';

export type FindingCode =
  | 'plan/overlapping-team'
  | 'plan/overlapping-route'
  | 'plan/overlapping-address'
  | 'plan/reserved-subnet'
  | 'plan/replaces-default-route'
  | 'plan/bad-prefix'
  | 'plan/bad-config'
  | 'plan/bad-device-name'
  | 'plan/device-taken'
  | 'plan/bad-port'
  | 'plan/port-missing'
  | 'plan/port-taken'
  | 'plan/proxy-port-taken'
  | 'plan/forward-port-taken'
  | 'plan/more-findings';

/** One thing a plan has to say. Scripts may rely on the code and the severity; the words may change. */
export interface Finding {
  readonly severity: FindingSeverity;
  readonly code: FindingCode;
  /** One sentence with both sides by name. */
  readonly message: string;
  /** The way out. */
  readonly next: string;
}

const RANK: Readonly<Record<FindingSeverity, number>> = { refusal: 0, moved: 1, warning: 2 };
const QUOTED_LENGTH_MAX = 64;

/** Most findings of one plan; the last one then counts the rest. */
export const FINDING_COUNT_MAX = 50;

/** Orders the worst first, then by code and text: never by the order in which facts came. */
export function compareFindings(a: Finding, b: Finding): number {
  return RANK[a.severity] - RANK[b.severity] || compareText(a.code, b.code) || compareText(a.message, b.message);
}

/** Sorts, and cuts to {@link FINDING_COUNT_MAX}; a refusal is never cut for something milder. */
export function arrangeFindings(findings: readonly Finding[]): readonly Finding[] {
  const sorted = findings.toSorted(compareFindings);
  if (sorted.length <= FINDING_COUNT_MAX) return sorted;
  const rest = sorted.slice(FINDING_COUNT_MAX - 1);
  const message = `${rest.length} more findings are left out, the worst is a ${rest[0]?.severity}`;
  const more: Finding = {
    severity: rest[0]?.severity ?? 'warning',
    code: 'plan/more-findings',
    message,
    next: 'solve those above, then run: heddle plan',
  };
  return [...sorted.slice(0, FINDING_COUNT_MAX - 1), more];
}

/** Quotes a value for a message, cut to 64 characters. */
export function quote(value: string): string {
  return value.length <= QUOTED_LENGTH_MAX ? `"${value}"` : `"${value.slice(0, QUOTED_LENGTH_MAX)}…"`;
}

/** Orders by code units, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
