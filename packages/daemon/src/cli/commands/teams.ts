import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { TeamPlan } from '../../plan/plan-all.ts';
import { formatPlan } from '../../plan/plan-text.ts';
import { listOf, type Shape } from '../../schema/shape.ts';
import { type TeamInfo, teamInfoShape } from '../../schema/team-info.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { formatAge, formatTable, writeJson } from '../terminal.ts';

type Reply = Readonly<Record<string, unknown>> & { readonly message: string };

/** `heddle list`. */
export async function listTeams(context: CommandContext): Promise<void> {
  const { terminal, world } = context;
  const teams = parse(listOf(teamInfoShape), (await ask({ action: 'list' }, context))['teams']);
  if (terminal.isJson) writeJson(terminal, { teams });
  else
    terminal.out(
      teams.length === 0 ? 'No teams; take them over: heddle provision\n' : formatTeams(teams, world.unixMs()),
    );
}

/** `heddle up TEAM` and the like: asks, and says what came of it. */
export async function changeTeam(
  action: string,
  team: string,
  reason: string | undefined,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const reply = await ask({ action, team, ...(reason === undefined ? {} : { reason }) }, context);
  if (terminal.isJson) writeJson(terminal, reply);
  else terminal.out(`${capitalised(reply.message)}\n`);
}

/** `heddle provision [TEAM]`. Fails when a team was refused. */
export async function provisionTeams(team: string, reason: string | undefined, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const request = { action: 'provision', ...optionalTeam(team), ...(reason === undefined ? {} : { reason }) };
  const reply = await ask(request, context);
  const results = (reply['results'] ?? []) as readonly { name: string; kind: string; ok: boolean; message: string }[];
  if (terminal.isJson) writeJson(terminal, { results });
  else {
    for (const { name, kind, ok, message } of results)
      terminal.out(`${ok ? 'ok' : 'NO'}  ${name} (${kind}): ${message}\n`);
    terminal.out(`${capitalised(reply.message)}\n`);
  }
  if (results.some(({ ok }) => !ok)) throw new TailnetError('team/refused', 'Not every team could be taken over');
}

/** `heddle plan [TEAM]`. */
export async function planTeams(team: string, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const plans = (await ask({ action: 'plan', ...optionalTeam(team) }, context))['plans'] as readonly TeamPlan[];
  if (terminal.isJson) writeJson(terminal, { plans });
  else terminal.out(formatPlan(plans));
}

/** The teams as a table for people. */
export function formatTeams(teams: readonly TeamInfo[], nowUnixMs: number): string {
  const rows = teams.map((team) => [
    team.active ? `${team.name} *` : team.name,
    team.kind,
    team.state,
    team.addresses.join(', ') || '-',
    team.interface ?? team.proxy ?? '-',
    formatAge(Date.parse(team.since), nowUnixMs),
    noteOf(team),
  ]);
  return formatTable([['TEAM', 'KIND', 'STATE', 'ADDRESSES', 'DEVICE OR PROXY', 'SINCE', 'NOTE'], ...rows]);
}

function noteOf(team: TeamInfo): string {
  if (team.waits_for !== undefined) return `needs ${team.waits_for}`;
  if (team.warning !== undefined) return `${team.warning.message} [${team.warning.code}]`;
  const isDown = team.state === 'failed' || team.state === 'backoff';
  return isDown && team.last_error !== undefined ? `${team.last_error.message} [${team.last_error.code}]` : '';
}

async function ask(
  request: Readonly<Record<string, unknown>> & { action: string },
  context: CommandContext,
): Promise<Reply> {
  const client = await connect(context);
  try {
    return (await client.ask(request)) as unknown as Reply;
  } finally {
    client.close();
  }
}

async function connect({ supervisorPath }: CommandContext): Promise<ControlClient> {
  try {
    return await ControlClient.connect(supervisorPath);
  } catch (error) {
    if (!(error instanceof TailnetError) || error.code !== 'ipc/not-running') throw error;
    throw new TailnetError('team/no-daemon', `The teams daemon does not run at "${supervisorPath}"`);
  }
}

function optionalTeam(team: string): { readonly team?: string } {
  return team === '' ? {} : { team };
}

function parse<T>(shape: Shape<T>, value: unknown): T {
  const result = shape(value);
  if (result.kind === 'ok') return result.value;
  throw new TailnetError('ipc/bad-reply', "The daemon's answer is not understood; is it another version?");
}

function capitalised(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
