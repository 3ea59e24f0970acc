import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { TailnetState } from '@heddle/tailnet/types';
import { planCompilingSooner } from '../../engine/compile-sooner.ts';
import { describeState } from '../../engine/describe.ts';
import { runEngine } from '../../engine/run-engine.ts';
import { createSocketGuard } from '../../process/process-guards.ts';
import type { EngineConfig } from '../../schema/engine-config.ts';
import type { CommandContext } from '../cli-context.ts';
import { printable } from '../terminal.ts';
import { formatConnected } from './format-connected.ts';
import { formatLogRecord } from './logs.ts';

/** `heddle connect --foreground`: the engine in this process, its log on standard error, until ctrl-C. */
export async function runForeground(config: EngineConfig, context: CommandContext): Promise<void> {
  planCompilingSooner();
  const { world, terminal } = context;
  const { createNode, services } = await world.loadParts();
  const socket = createSocketGuard();
  const outcome = await runEngine({
    config,
    createNode,
    services,
    version: world.version,
    unixMs: world.unixMs,
    writeLog: (record) => terminal.err(terminal.isJson ? `${JSON.stringify(record)}\n` : formatLogRecord(record)),
    onSocket: socket.set,
    onStarted: () => {},
    onState: (state) => printState(state, context),
    signal: world.interrupt,
    lingerMs: () => 0,
  });
  if (outcome.kind === 'failed') throw new TailnetError(outcome.code, outcome.message);
}

function printState(state: TailnetState, { terminal }: CommandContext): void {
  const event = describeState(state);
  if (terminal.isJson) terminal.out(`${JSON.stringify(event)}\n`);
  else if (state.kind === 'running') terminal.out(`${formatConnected(event)}\n`);
  else if (state.kind === 'needs_login') terminal.out(`To log in, open:\n\n    ${printable(state.authUrl)}\n\n`);
}
