import type { Finding } from './finding.ts';
import type { TeamPlan } from './plan-all.ts';

const HEADING = ['TEAM', 'PLAN', 'DEVICE', 'UDP PORT', 'PROXY PORT'];
const SEVERITY_WIDTH = 'refusal'.length;

/** Writes plans for people: one line a team, then two lines a finding, each ended by a line feed. */
export function formatPlan(plans: readonly TeamPlan[]): string {
  if (plans.length === 0) return 'No teams\n';
  const rows = plans.map(({ team, plan }) => {
    const isClear = plan.kind === 'clear';
    const ports = [plan.listenPort, plan.proxyPort].map((port) => (isClear ? formatPort(port) : '-'));
    return [team, plan.kind, plan.device ?? '-', ...ports];
  });
  const findings = plans.flatMap(({ plan }) => plan.findings.flatMap(formatFinding));
  const lines = [...alignColumns([HEADING, ...rows]), ...(findings.length === 0 ? [] : ['', ...findings])];
  return `${lines.map(printable).join('\n')}\n`;
}

function formatPort(port: number | undefined): string {
  if (port === undefined) return '-';
  return port === 0 ? 'any' : String(port);
}

function formatFinding({ severity, message, next }: Finding): readonly string[] {
  return [`${severity.padEnd(SEVERITY_WIDTH)}  ${message}`, `${' '.repeat(SEVERITY_WIDTH)}  next: ${next}`];
}

/** Columns as wide as their widest cell, two blanks between. */
function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = HEADING.map((_, i) => rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), 0));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Names come from files and other programs: no control characters reach the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}
