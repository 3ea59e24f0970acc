import { parseDaemonOptions } from '../supervisor/daemon-options.ts';
import { runDaemon } from '../supervisor/daemon-process.ts';
import type { CliWorld } from './cli-context.ts';
import { reportDaemonFailure } from './daemon-failure.ts';

/** `heddle --ipc-mode …`: the supervisor in this process. Resolves with its exit status; never rejects. */
export async function runDaemonCommand(args: readonly string[], world: CliWorld): Promise<number> {
  try {
    return await runDaemon(parseDaemonOptions(args), world);
  } catch (error) {
    return reportDaemonFailure(error, 'heddle', world);
  }
}
