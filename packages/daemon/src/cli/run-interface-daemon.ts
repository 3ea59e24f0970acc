import { runInterfaceDaemon } from '../interface-daemon/interface-daemon.ts';
import {
  describeInterfaceOptions,
  type InterfaceDaemonKind,
  parseInterfaceOptions,
} from '../interface-daemon/interface-options.ts';
import type { CliWorld } from './cli-context.ts';
import { reportDaemonFailure } from './daemon-failure.ts';

/** `tun-daemon` and `subnet-daemon`, in this process. Resolves with its exit status; never rejects. */
export async function runInterfaceCommand(
  kind: InterfaceDaemonKind,
  args: readonly string[],
  world: CliWorld,
): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    world.out(describeInterfaceOptions(kind));
    return 0;
  }
  if (args.includes('--version')) {
    world.out(`${world.version}\n`);
    return 0;
  }
  try {
    return await runInterfaceDaemon(parseInterfaceOptions(kind, args), world);
  } catch (error) {
    return reportDaemonFailure(error, `${kind}-daemon`, world);
  }
}
