import { DatagramSocket } from './datagram-socket.ts';

/** The variables by which a service manager says where it listens (sd_notify(3), sd_watchdog_enabled(3)). */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/**
 * Tells the service manager how this process is doing. Nothing here throws or fails visibly: a manager that does not
 * listen is its own affair. Each call may wait up to 100 ms for room in the manager's queue.
 */
export interface ServiceNotifier {
  /** Everything clients need is listening. The watchdog counts from here on. */
  ready(): void;
  /** One line for people (`systemctl status`): control characters become blanks, cut to 200 characters. */
  status(text: string): void;
  /** The first thing on the way out. */
  stopping(): void;
  /** A reload begins; `ready()` ends it. */
  reloading(): void;
  /**
   * Says "alive" now and then twice per watchdog period, from the event loop: a loop that hangs is silent, and the
   * manager restarts the process. Does nothing when no watchdog is asked for. The returned function stops it.
   */
  startWatchdog(): () => void;
}

/**
 * The notifier for process `pid`; `undefined` when no service manager listens (or the address is of a kind unknown
 * here, or the system is not Linux). `env` is not changed: the caller keeps the variables from its children. koffi is
 * loaded by the first message (6–20 ms).
 */
export function createServiceNotifier(env: ServiceEnvironment, pid: number): ServiceNotifier | undefined {
  const address = encodeUnixAddress(env.NOTIFY_SOCKET ?? '');
  if (process.platform !== 'linux' || address === undefined) return undefined;
  const send = (...lines: readonly string[]): void => sendQuietly(address, lines.join('\n'));
  const watchdogMs = parseWatchdogMs(env, pid);
  return {
    ready: () => send('READY=1'),
    status: (text) => send(`STATUS=${formatStatus(text)}`),
    stopping: () => send('STOPPING=1'),
    reloading: () => send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    startWatchdog: () => {
      if (watchdogMs === undefined) return () => {};
      const ping = (): void => send('WATCHDOG=1');
      ping();
      const timer = setInterval(ping, watchdogMs).unref();
      return () => clearInterval(timer);
    },
  };
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** Of `sun_path`, unix(7). */
const PATH_BYTES_MAX = 108;
const SEND_TIMEOUT_MS = 100;
const STATUS_LENGTH_MAX = 200;
const TIMER_MS_MAX = 0x7fffffff;

// sockaddr_un: family u16, then the path with its NUL, or for an abstract address a NUL and the name without one.
function encodeUnixAddress(path: string): Uint8Array | undefined {
  const isAbstract = path.startsWith('@');
  if ((!isAbstract && !path.startsWith('/')) || path.length < 2 || path.includes('\0')) return undefined;
  const bytes = Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  return bytes.length > PATH_BYTES_MAX ? undefined : Uint8Array.of(AF_UNIX, 0, ...bytes);
}

// A process that inherited the variables is not the one the manager watches.
function parseWatchdogMs(env: ServiceEnvironment, pid: number): number | undefined {
  if (env.WATCHDOG_PID !== undefined && env.WATCHDOG_PID !== String(pid)) return undefined;
  if (!/^[1-9][0-9]{0,18}$/.test(env.WATCHDOG_USEC ?? '')) return undefined;
  return Math.min(Math.max(Math.floor(Number(env.WATCHDOG_USEC) / 2000), 1), TIMER_MS_MAX);
}

function formatStatus(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return [...line].slice(0, STATUS_LENGTH_MAX).join('').trimEnd();
}

// A socket for each message: they are seldom, and there is nothing to close at the end.
function sendQuietly(address: Uint8Array, text: string): void {
  let socket: DatagramSocket | undefined;
  try {
    socket = DatagramSocket.open({ family: AF_UNIX, type: SOCK_DGRAM, protocol: 0 });
    socket.setSendTimeout(SEND_TIMEOUT_MS);
    socket.sendTo(Buffer.from(text), address);
  } catch {
    // The manager is gone, or its queue is full; the next message may arrive.
  } finally {
    socket?.close();
  }
}
