import { setTimeout as sleep } from 'node:timers/promises';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { PingInfo } from '../../schema/reply.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { printable, writeJson } from '../terminal.ts';
import { formatPath } from './peers.ts';

export interface PingOptions {
  readonly count: number;
}

const PING_TIMEOUT_MS = 5000;
const PING_TIMEOUT_MS_MAX = 9000;
const INTERVAL_MS = 1000;

/** `heddle ping PEER`: ICMP echo through the tunnel. Fails when no answer came at all. */
export async function ping(peer: string, options: PingOptions, context: CommandContext): Promise<void> {
  const { asked, terminal, world } = context;
  const client = await ControlClient.connect(asked.socketPath);
  const results: PingInfo[] = [];
  let lost: TailnetError | undefined;
  try {
    for (let i = 0; i < options.count && !world.interrupt.aborted; i++) {
      if (i > 0) await sleep(INTERVAL_MS);
      const answer = await pingOnce(client, peer, context);
      if (answer instanceof TailnetError) lost = answer;
      else results.push(answer);
      if (!terminal.isJson) terminal.out(formatAnswer(answer, peer));
    }
  } finally {
    client.close();
  }
  if (results.length === 0 && lost !== undefined) throw lost;
  if (terminal.isJson) writeJson(terminal, { peer, sent: options.count, received: results.length, results });
}

// A lost echo is a result; an unknown name or a stopped engine ends the command.
async function pingOnce(
  client: ControlClient,
  peer: string,
  context: CommandContext,
): Promise<PingInfo | TailnetError> {
  const timeoutMs = Math.min(PING_TIMEOUT_MS_MAX, Math.max(100, Math.round(context.timeoutMs ?? PING_TIMEOUT_MS)));
  try {
    const answer = await client.request({ action: 'ping', peer, timeout_ms: timeoutMs, team: context.asked.team });
    const { address, roundTripMs, path } = answer;
    return { peer, address, roundTripMs, path };
  } catch (error) {
    if (error instanceof TailnetError && error.code === 'ping/timeout') return error;
    throw error;
  }
}

function formatAnswer(answer: PingInfo | TailnetError, peer: string): string {
  if (answer instanceof TailnetError) return `${printable(peer)}: no answer\n`;
  const ms = answer.roundTripMs < 10 ? answer.roundTripMs.toFixed(1) : answer.roundTripMs.toFixed(0);
  return `${printable(`pong from ${peer} (${answer.address}) via ${formatPath(answer.path)} in ${ms} ms`)}\n`;
}
