import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';

/**
 * When a process of Windows started: opaque, the same as long as it lives, and never that of a later process with its
 * number. `dead` when it has ended and somebody still has a handle; empty when the system does not tell, or without koffi.
 */
export function readWindowsStartMark(pid: number): string | 'dead' {
  try {
    reader ??= createReader();
    return reader(pid);
  } catch {
    return '';
  }
}

type Reader = (pid: number) => string | 'dead';
let reader: Reader | undefined;

interface Kernel32 {
  OpenProcess(access: number, isInherited: number, pid: number): unknown;
  /** A FILETIME each: 100 ns units in 8 bytes. */
  GetProcessTimes(handle: unknown, start: Uint8Array, end: Uint8Array, kernel: Uint8Array, user: Uint8Array): number;
  GetExitCodeProcess(handle: unknown, code: Uint32Array): number;
  CloseHandle(handle: unknown): number;
}

/** PROCESS_QUERY_LIMITED_INFORMATION: granted to administrators for every process. */
const QUERY_ONLY = 0x1000;
/** STILL_ACTIVE */
const RUNNING = 259;

function createReader(): Reader {
  const kernel = loadKernel32();
  return (pid) => {
    const handle = kernel.OpenProcess(QUERY_ONLY, 0, pid);
    if (handle === null) return '';
    try {
      return readMark(kernel, handle);
    } finally {
      kernel.CloseHandle(handle);
    }
  };
}

function readMark(kernel: Kernel32, handle: unknown): string | 'dead' {
  const code = new Uint32Array(1);
  if (kernel.GetExitCodeProcess(handle, code) !== 0 && code[0] !== RUNNING) return 'dead';
  const start = new Uint8Array(8);
  const unused = new Uint8Array(8);
  if (kernel.GetProcessTimes(handle, start, unused, unused, unused) === 0) return '';
  return Buffer.from(start).readBigUInt64LE().toString(36);
}

function loadKernel32(): Kernel32 {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('kernel32.dll');
  const func = (prototype: string): unknown => library.func(prototype);
  return {
    OpenProcess: func('void *OpenProcess(uint32_t, int, uint32_t)'),
    GetProcessTimes: func('int GetProcessTimes(void *, void *, void *, void *, void *)'),
    GetExitCodeProcess: func('int GetExitCodeProcess(void *, void *)'),
    CloseHandle: func('int CloseHandle(void *)'),
  } as Kernel32;
}
