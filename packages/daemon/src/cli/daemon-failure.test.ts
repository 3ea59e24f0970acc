import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { describe, expect, it } from 'vitest';
import { runHeddle } from '../../test/scripted-daemon.ts';
import { describeDaemonFailure, reportDaemonFailure } from './daemon-failure.ts';
import { describeFailure } from './failure.ts';

const DAEMONS = ['tun-daemon', 'subnet-daemon', 'heddle'] as const;
/** The flags and commands of a node, of which a daemon knows nothing. */
const OF_THE_NODE = /--state-dir|--context|heddle (?:status|logs|connect|disconnect|wait)|state\.json/;
/** What the guide lists of the rooms that a daemon can end with. */
const ROW = /^\| `((?:state|ipc|interface|tun|subnet)\/[a-z0-9-]+|team\/bad-[a-z-]+)` \|/gm;
const GUIDE = readFileSync(fileURLToPath(new URL('../../../../docs/guide/errors.md', import.meta.url)), 'utf8');
const CODES = [
  ...['usage/bad-option', 'cli/internal', 'rest/busy', 'rest/port-in-use', 'rest/listen-failed', 'rest/bad-token-file'],
  ...Array.from(GUIDE.matchAll(ROW), ([, code]) => code as string),
];

describe('the failure of a daemon', () => {
  it('names a next step with the flags of the daemon, and the exit status that the guide says', () => {
    expect(CODES.length).toBeGreaterThan(40);
    for (const daemon of DAEMONS) {
      for (const code of CODES) {
        const error = new TailnetError(code, 'x');
        const failure = describeDaemonFailure(error, daemon);
        expect(`${code}: ${failure.next}`).not.toMatch(OF_THE_NODE);
        expect({ ...failure, next: '' }).toEqual({ ...describeFailure(error), next: '' });
      }
    }
  });

  it('about its state leads to another state database', () => {
    for (const code of ['state/foreign', 'state/locked', 'state/unwritable', 'state/of-later']) {
      expect(describeDaemonFailure(new TailnetError(code, 'x'), 'tun-daemon').next).toContain('--state-db-path');
    }
  });

  it('about a port is as it is for the commands', () => {
    const error = new TailnetError('rest/port-in-use', 'x');
    expect(describeDaemonFailure(error, 'tun-daemon')).toEqual(describeFailure(error));
  });

  it('begins with its name and is without control characters', () => {
    let text = '';
    const err = (part: string): void => {
      text += part;
    };
    const status = reportDaemonFailure(new TailnetError('state/locked', 'In use\u001b[2J\nby 7'), 'subnet-daemon', {
      err,
    });
    expect([status, text]).toEqual([
      9,
      'subnet-daemon: In use?[2J by 7 [state/locked]\n  next: end the daemon that uses it, or choose another --state-db-path\n',
    ]);
  });

  it('that is a fault of heddle comes with its stack', () => {
    let text = '';
    const err = (part: string): void => {
      text += part;
    };
    expect(reportDaemonFailure(new RangeError('oops'), 'heddle', { err })).toBe(1);
    expect(text).toMatch(/^heddle: oops \[cli\/internal\]\n {2}next: [^\n]+\nRangeError: oops\n {4}at /);
  });
});

describe('a daemon that is started with a flag it does not know', () => {
  it.each([
    ['__tun-daemon --frob', 'tun-daemon: Unknown option', 'see tun-daemon --help'],
    ['__subnet-daemon --port many', 'subnet-daemon: --port is a number', 'see subnet-daemon --help'],
    ['--ipc-mode socket --frob', 'heddle: Unknown option', 'see heddle help, docs/guide/teams.md'],
  ])('says where the flags are listed: %s', async (line, message, next) => {
    const { status, out, err } = await runHeddle(line);
    expect([status, out]).toEqual([2, '']);
    expect(err.startsWith(message)).toBe(true);
    expect(err.endsWith(` [usage/bad-option]\n  next: ${next}\n`)).toBe(true);
  });
});
