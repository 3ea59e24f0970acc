import type { PeerCredentials } from '@heddle/host/peer-credentials';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { ControlRequest } from '../schema/request.ts';
import { isSupervisorRead, type SupervisorRequest, type TailnetQuestion } from '../schema/supervisor-request.ts';
import type { TeamInfo } from '../schema/team-info.ts';
import { ControlClient } from '../socket/control-client.ts';
import { readLogTail } from '../team/log-tail.ts';
import { formatTeam } from './describe-team.ts';
import type { Supervisor } from './supervisor.ts';

export type Reply = Readonly<Record<string, unknown>> & { readonly message: string };

export interface AnswerContext {
  readonly supervisor: Supervisor;
  readonly version: string;
  /** Paths of a team's own files. */
  readonly pathsOf: (team: string) => { readonly socketPath: string; readonly logPath: string };
  readonly log: (level: 'info', message: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** Answers one request. Every change leaves a line with who asked for it and why. */
export async function answerSupervisor(
  request: SupervisorRequest,
  client: PeerCredentials,
  context: AnswerContext,
): Promise<Reply> {
  if (isSupervisorRead(request)) return answer(request, context);
  const fields = {
    uid: client.uid,
    ...(client.pid === undefined ? {} : { pid: client.pid }),
    ...(request.team === undefined ? {} : { team: request.team }),
    ...(request.reason === undefined ? {} : { reason: printable(request.reason) }),
  };
  context.log('info', `${request.action} requested`, fields);
  try {
    return await answer(request, context);
  } catch (error) {
    const code = error instanceof TailnetError ? error.code : 'team/internal';
    context.log('info', `${request.action} failed`, { ...fields, code });
    throw error;
  }
}

async function answer(request: SupervisorRequest, context: AnswerContext): Promise<Reply> {
  const { supervisor, version } = context;
  switch (request.action) {
    case 'teams': {
      const teams = supervisor.list().map((team) => team.name);
      return { message: count(teams.length, 'team'), teams };
    }
    case 'list':
      return listReply(supervisor.list());
    case 'status':
      return request.team === undefined ? listReply(supervisor.list()) : teamReply(supervisor.status(request.team));
    case 'start':
      return startReply(supervisor, request.team);
    case 'stop':
      return teamReply(await supervisor.stop(request.team));
    case 'restart':
      return teamReply(await supervisor.restart(request.team));
    case 'reload':
      return teamReply(await supervisor.reload(request.team));
    case 'switch':
      return teamReply(await supervisor.switch(request.team));
    case 'delete':
      await supervisor.delete(request.team);
      return { message: `team ${request.team} is deleted`, team: request.team, pid: undefined };
    case 'provision':
      return provisionReply(await supervisor.provision(request.team));
    case 'plan': {
      const plans = await supervisor.plan(request.team);
      const refused = plans.filter(({ plan }) => plan.kind === 'refused').length;
      return { message: refused === 0 ? 'no conflicts' : `${count(refused, 'team')} may not come up`, plans };
    }
    case 'version':
      return { message: `heddle ${version}`, version, node: process.version };
    case 'subscribe':
      return { message: 'subscribed' };
    case 'logs':
      return { message: 'logs', team: request.team, lines: logLines(request.team, request.max ?? 100, context) };
    default:
      return askEngine(request, context);
  }
}

async function startReply(supervisor: Supervisor, name: string): Promise<Reply> {
  const before = supervisor.status(name);
  const info = await supervisor.start(name);
  const isSame = before.state === 'up' && before.pid === info.pid;
  return { ...teamReply(info), ...(isSame ? { message: `team ${name} is already running` } : {}) };
}

function listReply(teams: readonly TeamInfo[]): Reply {
  const up = teams.filter(({ state }) => state === 'up').length;
  return { message: `${count(teams.length, 'team')}, ${up} up`, teams: teams };
}

/** The fields of a team beside `team`, its name: `pid` is that of its process, and absent when there is none. */
function teamReply(info: TeamInfo): Reply {
  return { message: formatTeam(info), team: info.name, pid: info.pid, ...info };
}

function provisionReply(results: Awaited<ReturnType<Supervisor['provision']>>): Reply {
  const bad = results.filter(({ ok }) => !ok);
  const [only] = bad;
  if (only !== undefined && results.length === 1) throw new TailnetError(only.code ?? 'team/internal', only.message);
  const good = `${count(results.length - bad.length, 'team')} provisioned`;
  return { message: bad.length === 0 ? good : `${good}, ${bad.length} refused`, results };
}

function logLines(team: string, max: number, { supervisor, pathsOf }: AnswerContext): unknown[] {
  supervisor.status(team);
  return readLogTail(pathsOf(team).logPath, max);
}

/** Passes a question on to the engine of a tailnet. */
async function askEngine(request: TailnetQuestion, { supervisor, pathsOf }: AnswerContext): Promise<Reply> {
  const info = supervisor.status(request.team);
  if (info.kind !== 'tailnet') {
    throw new TailnetError(
      'team/not-supported',
      `"${request.action}" is for tailnets; "${info.name}" is a ${info.kind} team`,
    );
  }
  if (info.pid === undefined) throw new TailnetError('team/not-running', `Team "${info.name}" is ${info.state}`);
  const client = await ControlClient.connect(pathsOf(request.team).socketPath);
  try {
    if (request.action === 'netcheck') {
      const { relay, endpoints } = await client.request({ action: 'status' });
      return { message: 'netcheck', team: info.name, pid: info.pid, relay, endpoints };
    }
    const { id, team, ...question } = request;
    return { ...(await client.request(question as ControlRequest)), team, pid: info.pid };
  } finally {
    client.close();
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Client-supplied text for a log: no control characters. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ');
}
