import { execFile } from 'node:child_process';
import { parseLsofHolders } from './lsof-output.ts';
import type { TcpEndpoint } from './tcp-end.ts';

const LSOF = '/usr/sbin/lsof';
const TIMEOUT_MS = 2000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
const RUNNING_COUNT_MAX = 8;
let runningCount = 0;

/**
 * Asks lsof, the one of macOS unless told otherwise, which user's processes have the other end of an established
 * connection; both addresses are loopback. Undefined when there is none, processes of several users have it, our own end
 * is not (any more) open in this process, or lsof is not there, fails, takes two seconds, or runs eight times already.
 */
export async function readLsofOwner(
  local: TcpEndpoint,
  remote: TcpEndpoint,
  command: string = LSOF,
): Promise<{ readonly uid: number } | undefined> {
  if (runningCount >= RUNNING_COUNT_MAX) return undefined;
  runningCount += 1;
  try {
    const text = await runLsof(command, remote);
    const own = parseLsofHolders(text, local, remote);
    if (own.length !== 1 || own[0]?.pid !== process.pid) return undefined;
    const uids = new Set(parseLsofHolders(text, remote, local).map(({ uid }) => uid));
    const [uid] = uids;
    return uids.size === 1 && uid !== undefined ? { uid } : undefined;
  } finally {
    runningCount -= 1;
  }
}

// Both ends have the client's address and port on one side or the other. An empty text is no answer.
function runLsof(command: string, client: TcpEndpoint): Promise<string> {
  const host = client.address.includes(':') ? `[${client.address}]` : client.address;
  const args = ['-nP', '-w', '-a', `-iTCP@${host}:${client.port}`, '-sTCP:ESTABLISHED', '-F', 'pun'];
  const options = {
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
    encoding: 'utf8',
  } as const;
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout) => resolve(error === null ? stdout : ''));
  });
}
