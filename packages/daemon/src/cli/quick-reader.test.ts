import { describe, expect, it } from 'vitest';
import type { CliWorld } from './cli-context.ts';
import { readWithHelp } from './help-reader.ts';
import { readQuickly } from './quick-reader.ts';
import { COMMON_OPTIONS, type OptionValues, VERBS } from './verbs.ts';

interface Read {
  readonly verb: string;
  readonly options: OptionValues;
  readonly argument: string;
}

function quickly(args: readonly string[]): Read | undefined {
  const call = readQuickly(args, VERBS, COMMON_OPTIONS);
  return call && { verb: call.verb.name, options: call.options, argument: call.argument };
}

/** The same line read by commander; undefined when it refuses it. */
async function slowly(args: readonly string[]): Promise<Read | undefined> {
  let read: Read | undefined;
  const world = { version: '1', out: () => {}, err: () => {} } as unknown as CliWorld;
  await readWithHelp(args, world, async (verb, options, argument) => {
    read = { verb: verb.name, options: { ...options }, argument };
  });
  return read;
}

describe('a plain command line', () => {
  const lines: string[][] = [
    ['connect'],
    ['connect', '--login-server', 'http://x.test', '--auth-key', '-', '--no-udp', '--verbose', '--foreground'],
    ['connect', '--forward', '127.0.0.1:1:a:2', '--forward=127.0.0.1:2:b:3', '--serve', '1:h:2', '--proxy=off'],
    ['connect', '--auth-key', '--json', '--hostname='],
    ['status', '--json', '--context', 'a', '--timeout', '1.5'],
    ['peers', '--state-dir', '/x', '--socket-path=/y=z'],
    ['logs', '--follow', '--lines', '7'],
    ['logs'],
    ['ping', 'db', '--count', '3'],
    ['ping', '--count=2', 'db'],
    ['lab', '--host', '::1', '--port', '0'],
    ['wait', '--timeout', '9', '--timeout', '8'],
    ['tun', 'create'],
    ['tun', 'create', '--ip6', 'auto', '--address=10.5.0.1/24', '--attached', '--mtu', '1400', '--port', '80'],
    ['tun', 'show', 'tun0', '--json'],
    ['subnet', 'add'],
    ['subnet', 'add', '10.1.0.0/24', '--timeout', '3'],
    ['subnet', 'free', '--ipv6', '--prefix-length', '64', '--count', '2'],
  ];
  for (const line of lines) {
    it(`is read as commander reads it: ${line.join(' ')}`, async () => {
      expect(quickly(line)).toEqual(await slowly(line));
    });
  }
});

describe('what commander has to read or refuse', () => {
  const lines: string[][] = [
    [],
    ['--help'],
    ['fly'],
    ['status', '--help'],
    ['status', '--wings'],
    ['status', 'x'],
    ['status', '--json=yes'],
    ['ping'],
    ['ping', 'a', 'b'],
    ['ping', '-c', '2', 'a'],
    ['ping', '--count', '70000', 'a'],
    ['connect', '--login-server'],
    ['connect', '--udp'],
    ['connect', '--', '--json'],
    ['logs', '-fn', '3'],
    ['wait', '--timeout', 'x'],
    ['tun'],
    ['tun', 'frob'],
    ['tun', '--json', 'list'],
    ['tun create'],
    ['tun', 'show'],
    ['tun', 'list', '--state-dir', '/x'],
    ['subnet', 'show', 'a', 'b'],
  ];
  for (const line of lines) {
    it(`is left to it: ${line.join(' ')}`, () => {
      expect(quickly(line)).toBeUndefined();
    });
  }
});
