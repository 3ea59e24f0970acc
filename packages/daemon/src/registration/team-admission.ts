import { nodeFileSystem } from '@heddle/tailnet/state/state-files';
import { runCommand } from './command-runner.ts';
import { findKeyring } from './keyring.ts';
import { finishPendingInstall } from './node-install.ts';
import { refuseRevoked } from './open-team.ts';
import { teamFolder } from './team-folder.ts';
import { parseTeamName } from './team-name.ts';

/**
 * What comes before the start of a team that a team server may have given us: a revoked one does not start, and an
 * installation that a crash interrupted is finished. Teams that nobody registered pass.
 * @throws {RegistrationError} `registration/revoked`, and those of {@link finishPendingInstall}.
 */
export async function admitTeam(configRoot: string, team: string): Promise<void> {
  const folder = teamFolder(configRoot, parseTeamName(team), nodeFileSystem);
  refuseRevoked(folder);
  const keyring = findKeyring({ platform: process.platform, uid: process.geteuid?.(), run: runCommand });
  await finishPendingInstall(folder, keyring);
}
