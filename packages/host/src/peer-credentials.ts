import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/** Who is at the other end of a Unix socket or a Windows pipe, as the kernel noted when the connection was made. */
export interface PeerCredentials {
  readonly uid: number;
  readonly gid: number;
  /** For logs only: the number may belong to another process by now. Undefined where the system does not tell. */
  readonly pid: number | undefined;
}

/**
 * Windows does not tell who connected; the access list of the pipe has decided it. The default one lets the system, the
 * administrators and the pipe's owner write, and everybody else at most read: whoever can send a request is an
 * administrator, root in the terms used here.
 */
const PIPE_CLIENT: PeerCredentials = { uid: 0, gid: 0, pid: undefined };

/**
 * Asks the kernel for the peer of an accepted Unix socket, or of a pipe with the default access list (not `readableAll`,
 * `writableAll`). Call it synchronously in the `connection` handler: later the
 * descriptor may be closed. `undefined` when the identity cannot be had (other platform, no FFI, closed): the caller
 * refuses the client. The first call loads koffi (6–20 ms, 5 MB).
 */
export function readPeerCredentials(
  socket: Socket,
  platform: NodeJS.Platform = process.platform,
): PeerCredentials | undefined {
  if (platform === 'win32') return PIPE_CLIENT;
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  try {
    reader ??= createReader();
    return reader(fd);
  } catch {
    return undefined;
  }
}

type Reader = (fd: number) => PeerCredentials | undefined;
let reader: Reader | undefined;

// Node keeps the descriptor in an undocumented field, hence the guards.
function descriptorOf(socket: Socket): number | undefined {
  const handle = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle;
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

function createReader(): Reader {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const system = koffi.load(null);
  if (process.platform === 'linux') {
    return createLinuxReader(system.func('int getsockopt(int, int, int, void *, void *)') as GetSockOpt);
  }
  if (process.platform === 'darwin' || process.platform === 'freebsd' || process.platform === 'openbsd') {
    return createBsdReader(system.func('int getpeereid(int, void *, void *)') as GetPeerEid);
  }
  return () => undefined;
}

type GetSockOpt = (fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array) => number;
type GetPeerEid = (fd: number, uid: Uint32Array, gid: Uint32Array) => number;

// unix(7): struct ucred { pid_t pid; uid_t uid; gid_t gid; }, 12 bytes in host order; SOL_SOCKET 1, SO_PEERCRED 17.
function createLinuxReader(getsockopt: GetSockOpt): Reader {
  return (fd) => {
    const ucred = new Uint32Array(3);
    const length = new Uint32Array([12]);
    if (getsockopt(fd, 1, 17, new Uint8Array(ucred.buffer), length) !== 0 || length[0] !== 12) return undefined;
    const [pid = 0, uid = UID_NONE, gid = 0] = ucred;
    return uid === UID_NONE ? undefined : { uid, gid, pid: pid === 0 ? undefined : pid };
  };
}

function createBsdReader(getpeereid: GetPeerEid): Reader {
  return (fd) => {
    const uid = new Uint32Array([UID_NONE]);
    const gid = new Uint32Array(1);
    if (getpeereid(fd, uid, gid) !== 0 || uid[0] === UID_NONE) return undefined;
    return { uid: uid[0] as number, gid: gid[0] as number, pid: undefined };
  };
}

/** (uid_t)-1: the kernel's "nobody set". */
const UID_NONE = 0xffffffff;
