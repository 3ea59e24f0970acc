import { readFileSync } from 'node:fs';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { LogRecord } from '../../schema/reply.ts';
import { ControlClient } from '../../socket/control-client.ts';
import type { CommandContext } from '../cli-context.ts';
import { printable } from '../terminal.ts';

export interface LogsOptions {
  readonly follow: boolean;
  readonly lines: number;
}

/** `heddle logs`: the newest lines of the engine, or of its log file when it has ended. */
export async function logs(options: LogsOptions, context: CommandContext): Promise<void> {
  if (context.asked.team !== undefined) return teamLogs(context.asked.team, options, context);
  let client: ControlClient;
  try {
    client = await ControlClient.connect(context.target.socketPath);
  } catch (error) {
    const isDead = error instanceof TailnetError && error.code === 'ipc/not-running';
    if (!isDead || options.follow) throw error;
    for (const record of readLogFile(context.target.logPath, options.lines)) print(record, context);
    return;
  }
  context.world.interrupt.addEventListener('abort', () => client.close(), { once: true });
  try {
    const { lines } = await client.request({ action: 'logs', max: options.lines });
    for (const record of lines) print(record, context);
    if (!options.follow) return;
    for await (const event of client.subscribe(['log'])) if (event.event === 'log') print(event.line, context);
  } finally {
    client.close();
  }
}

/** Of a team: lines of the program that runs it, as it wrote them. */
async function teamLogs(team: string, options: LogsOptions, { asked, terminal }: CommandContext): Promise<void> {
  if (options.follow)
    throw new TailnetError('usage/bad-option', 'The log of a team cannot be followed; leave out --follow');
  const client = await ControlClient.connect(asked.socketPath);
  try {
    const request = { action: 'logs', team, max: options.lines };
    const { lines = [] } = (await client.ask(request)) as { lines?: readonly unknown[] };
    for (const line of lines) {
      terminal.out(`${typeof line === 'string' ? printable(line) : JSON.stringify(line)}\n`);
    }
  } finally {
    client.close();
  }
}

/** One line for people. */
export function formatLogRecord(record: LogRecord): string {
  const fields = Object.entries(record.fields ?? {}).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `${printable(`${record.time} ${record.level.toUpperCase().padEnd(5)} ${record.message}${fields.join('')}`)}\n`;
}

function print(record: LogRecord, { terminal }: CommandContext): void {
  terminal.out(terminal.isJson ? `${JSON.stringify(record)}\n` : formatLogRecord(record));
}

function readLogFile(path: string, max: number): LogRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new TailnetError('ipc/not-running', 'No engine is running and there is no log of one');
  }
  return text
    .split('\n')
    .slice(-max - 1)
    .flatMap(parseRecord)
    .slice(-max);
}

// What Node itself printed at a crash is not JSON, and is the most interesting line of all.
function parseRecord(text: string): LogRecord[] {
  if (text.trim() === '') return [];
  try {
    const json = JSON.parse(text) as LogRecord;
    if (typeof json.time === 'string' && typeof json.level === 'string') return [json];
  } catch {
    // Falls through.
  }
  return [{ time: '-', level: 'error', message: text }];
}
