import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Command } from './service-command-line.ts';
import type { ServiceStep } from './service-plan.ts';
import type { CommandResult, ServiceSystem } from './service-system.ts';

const ATTEMPT_COUNT_MAX = 10;
const ATTEMPT_PAUSE_MS = 2000;

/**
 * Runs the steps in their order and stops at the first failure that matters.
 * @throws {TailnetError} `service/command-failed` with the command, its exit status and the last line of its complaint.
 */
export async function runSteps(steps: readonly ServiceStep[], system: ServiceSystem): Promise<void> {
  for (const step of steps) {
    const result = await runStep(step, system);
    if (!isTolerated(step, result)) throw commandFailed(step, result);
  }
}

/** Runs all steps whatever comes of them: for the way back. */
export async function trySteps(steps: readonly ServiceStep[], system: ServiceSystem): Promise<void> {
  for (const step of steps) await runStep(step, system);
}

async function runStep(step: ServiceStep, system: ServiceSystem): Promise<CommandResult> {
  const [program, ...args] = step.command;
  for (let attempt = 1; ; attempt++) {
    const result = await system.run(program, args);
    const isLast = attempt === ATTEMPT_COUNT_MAX || !step.isRetried;
    if (isLast || !isBusy(result)) return result;
    await system.pause(ATTEMPT_PAUSE_MS);
  }
}

// launchctl(1) answers with errno or a code of launchd's: 5 input/output error, 36 and 37 already in progress.
function isBusy({ code }: CommandResult): boolean {
  return code === 5 || code === 36 || code === 37;
}

function isTolerated({ tolerates, command }: ServiceStep, result: CommandResult): boolean {
  if (result.code === 0 || tolerates === 'anything') return true;
  return tolerates === 'missing' && isMissing(command[0], result);
}

// 3 no such process, 113 no such service, 36 still ending; systemctl has words only.
function isMissing(program: string, { code, stderr }: CommandResult): boolean {
  if (program === 'launchctl') return code === 3 || code === 113 || code === 36;
  const complaints = lastLines(stderr).filter((line) => !line.startsWith('Removed '));
  return complaints.length > 0 && complaints.every((line) => MISSING.test(line));
}

const MISSING = /\b(does not exist|not loaded|not found|could not be found)\b/i;

function commandFailed({ command }: ServiceStep, result: CommandResult): TailnetError {
  return new TailnetError('service/command-failed', describeResult(command, result));
}

/** One sentence about a command that failed, with the last thing that it says; advice of ours is left out. */
export function describeResult(command: Command, { code, stderr }: CommandResult): string {
  const reason = lastLines(stderr).findLast((line) => !line.startsWith('next: ')) ?? 'it says nothing';
  return `Command "${command.join(' ')}" ended with ${code}: ${reason}`;
}

/** Lines with something in them, without control characters, at most 300 characters each. */
function lastLines(stderr: string): readonly string[] {
  const lines = stderr.slice(-8192).split('\n');
  return lines
    .map((line) =>
      line
        .replaceAll(/\p{Cc}/gu, ' ')
        .trim()
        .slice(0, 300),
    )
    .filter((line) => line !== '');
}
