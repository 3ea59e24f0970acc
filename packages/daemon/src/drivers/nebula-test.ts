import { execFile } from 'node:child_process';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { explainExit } from '../nebula/failure-reason.ts';
import { parseLogLine } from '../nebula/log-line.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 8_388_608;
/** What Nebula has against a configuration is in its last lines; before them is the configuration, keys included. */
const LAST_LINE_COUNT = 4;

/**
 * Lets Nebula judge a configuration file without starting anything. What it prints is not kept.
 * @throws {TailnetError} `nebula/*` with its reason.
 */
export function testNebulaConfig(command: string, path: string, env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, windowsHide: true };
    execFile(command, ['-test', '-config', path], options, (error, stdout, stderr) => {
      if (error === null) {
        resolve();
        return;
      }
      const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line !== '');
      const code = typeof error.code === 'number' ? error.code : null;
      const reason = explainExit(lines.slice(-LAST_LINE_COUNT).map(parseLogLine), {
        code,
        signal: error.signal ?? null,
      });
      reject(new TailnetError(reason.code, reason.message));
    });
  });
}
