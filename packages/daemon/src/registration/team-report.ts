import { type ExitClass, RegistrationError } from './registration-error.ts';
import type { TeamFolder } from './team-folder.ts';

/** A team for which an operation failed, while others may have gone well. */
export interface TeamFailure {
  readonly kind: 'failed';
  readonly team: string;
  readonly error: RegistrationError;
}

/** Runs for each team, one after the other; a failure of one does not keep the next from its turn. */
export async function forEachTeam<T>(
  folders: readonly TeamFolder[],
  run: (folder: TeamFolder) => Promise<T>,
): Promise<readonly (T | TeamFailure)[]> {
  const outcomes: (T | TeamFailure)[] = [];
  for (const folder of folders) {
    try {
      outcomes.push(await run(folder));
    } catch (error) {
      // Anything else is a fault of ours or a cancelled command.
      if (!(error instanceof RegistrationError)) throw error;
      outcomes.push({ kind: 'failed', team: folder.team, error });
    }
  }
  return outcomes;
}

/** The exit class of the first failure; `undefined` when there was none. */
export function exitClassOf(outcomes: readonly { readonly kind: string }[]): ExitClass | undefined {
  const failure = outcomes.find((outcome): outcome is TeamFailure => outcome.kind === 'failed');
  return failure?.error.exit;
}

/** `acme: Cannot reach … [registration/unreachable]; next: …`. */
export function formatFailure({ team, error }: TeamFailure): string {
  return `${team}: ${error.message} [${error.code}]; next: ${error.nextStep}`;
}
