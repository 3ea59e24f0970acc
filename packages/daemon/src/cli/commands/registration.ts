import { existsSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { checkAuth, exitClassOfCheckAuth, formatCheckAuth } from '../../registration/check-auth.ts';
import { checkPort, exitClassOfCheckPort, formatCheckPort, probePort } from '../../registration/check-port.ts';
import { checkin, formatCheckin } from '../../registration/checkin.ts';
import { runCommand } from '../../registration/command-runner.ts';
import { checkNebula, exitClassOfNebulaCheck, formatNebulaCheck } from '../../registration/nebula-check.ts';
import type { TeamChoice } from '../../registration/open-team.ts';
import { formatRegister, register } from '../../registration/register.ts';
import { parseRegisterFlags, type RegisterFlags } from '../../registration/register-flags.ts';
import type { ExitClass } from '../../registration/registration-error.ts';
import { formatSyncConfig, syncConfig } from '../../registration/sync-config.ts';
import { exitClassOf } from '../../registration/team-report.ts';
import { createTeamWorld, type TeamWorld } from '../../registration/team-world.ts';
import { listUnits } from '../../service/unit-names.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { EXIT, ReportedFailure } from '../failure.ts';
import { writeJson } from '../terminal.ts';

/** Flags that several of these commands have. */
export interface TeamFlags {
  readonly configRoot?: string | undefined;
  readonly orgSlug?: string | undefined;
  readonly team?: string | undefined;
  readonly all?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
}

const SERVICE_COMMAND_TIMEOUT_MS = 20_000;
const OUTPUT_BYTES_MAX = 65_536;

/** `heddle register`. */
export async function registerNode(flags: RegisterFlags & TeamFlags, context: CommandContext): Promise<void> {
  const options = await parseRegisterFlags(flags, context.world.readInput);
  const result = await register(options, worldOf(flags, context));
  report(result, formatRegister(result), undefined, context);
}

/** `heddle sync-config`. */
export async function syncTeams(flags: TeamFlags, context: CommandContext): Promise<void> {
  const teams = choiceOf(flags);
  const reload = (team: string): Promise<void> => askDaemon({ action: 'reload', team }, context);
  const outcomes = await syncConfig({ teams, verify: undefined, reload }, worldOf(flags, context));
  report({ outcomes }, formatSyncConfig(outcomes), exitClassOf(outcomes), context);
}

/** `heddle check-auth`: a revoked team is stopped, whoever runs it. */
export async function checkTeams(flags: TeamFlags, context: CommandContext): Promise<void> {
  const stopTeam = (team: string): Promise<void> => stopRevoked(team, context);
  const outcomes = await checkAuth({ teams: choiceOf(flags), stopTeam }, worldOf(flags, context));
  report({ outcomes }, formatCheckAuth(outcomes), exitClassOfCheckAuth(outcomes), context);
}

/** `heddle checkin`. */
export async function checkInTeams(flags: TeamFlags, context: CommandContext): Promise<void> {
  const outcomes = await checkin(choiceOf(flags), worldOf(flags, context));
  report({ outcomes }, formatCheckin(outcomes), exitClassOf(outcomes), context);
}

/** `heddle check-port`. */
export async function checkPorts(
  flags: TeamFlags & { port: readonly number[] },
  context: CommandContext,
): Promise<void> {
  const result = await checkPort({ ports: flags.port, probe: probePort }, worldOf(flags, context));
  report(result, formatCheckPort(result), exitClassOfCheckPort(result), context);
}

/** `heddle nebula check`. */
export async function nebula(
  action: string,
  flags: { readonly nebulaBinary?: string | undefined },
  context: CommandContext,
): Promise<void> {
  if (action !== 'check')
    throw new TailnetError('usage/bad-option', `"nebula ${action}" is not known, only "nebula check"`);
  const result = await checkNebula({
    binary: flags.nebulaBinary,
    searchPath: context.world.env['PATH'],
    uid: process.geteuid?.(),
    run: runCommand,
  });
  report(result, formatNebulaCheck(result), exitClassOfNebulaCheck(result), context);
}

function worldOf({ configRoot, dryRun }: TeamFlags, { world }: CommandContext): TeamWorld {
  return createTeamWorld({
    version: world.version,
    signal: world.interrupt,
    isDryRun: dryRun ?? false,
    ...(configRoot === undefined ? {} : { configRoot }),
  });
}

function choiceOf({ orgSlug, team }: TeamFlags): TeamChoice {
  const name = orgSlug ?? team;
  return name === undefined ? { kind: 'all' } : { kind: 'one', orgSlug: name };
}

function report(value: object, text: string, exit: ExitClass | undefined, { terminal }: CommandContext): void {
  if (terminal.isJson) writeJson(terminal, value);
  else terminal.out(text.endsWith('\n') ? text : `${text}\n`);
  if (exit !== undefined) throw new ReportedFailure(EXIT[exit]);
}

async function askDaemon(
  request: { readonly action: string; readonly team: string },
  { supervisorPath }: CommandContext,
): Promise<void> {
  const client = await ControlClient.connect(supervisorPath);
  try {
    await client.ask({ ...request, reason: 'asked for by the team server' } as { action: string });
  } finally {
    client.close();
  }
}

/** By the daemon where there is one that knows the team, and by the service manager where the team has a service. */
async function stopRevoked(team: string, context: CommandContext): Promise<void> {
  try {
    await askDaemon({ action: 'stop', team }, context);
  } catch (error) {
    const code = error instanceof TailnetError ? error.code : '';
    if (code !== 'ipc/not-running' && code !== 'team/unknown') throw error;
  }
  const manager = process.platform === 'darwin' ? 'launchd' : 'systemd';
  const unit = listUnits({ mode: 'server', team }, manager).find(({ role }) => role === 'team');
  if (unit === undefined || !existsSync(unit.path)) return;
  const [command, args] =
    manager === 'systemd' ? ['systemctl', ['stop', unit.name]] : ['launchctl', ['bootout', `system/${unit.name}`]];
  const outcome = await runCommand({
    command: command as string,
    args: args as string[],
    input: '',
    timeoutMs: SERVICE_COMMAND_TIMEOUT_MS,
    outputBytesMax: OUTPUT_BYTES_MAX,
  });
  if (outcome.kind === 'failed')
    throw new TailnetError('service/command-failed', `Cannot stop ${unit.name} (${outcome.reason})`);
}
