/** Against the kernel, in a network namespace of the test, and iproute2's account of it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CAN_RUN_AS_OTHERS } from '../../test/other-user.ts';
import { attachTun, createTun, type TunHandle } from './linux-tun.ts';
import { TunError } from './tun-error.ts';

interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind: string; readonly info_data?: Readonly<Record<string, unknown>> };
}

const isPossible =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  existsSync('/dev/net/tun') &&
  spawnSync('ip', ['-V']).status === 0;
const CLONE_NEWNET = 0x40000000;
const NOBODY = 65534;

function ip(...args: readonly string[]): IpLink[] {
  const text = execFileSync('ip', ['-j', '-d', ...args], { encoding: 'utf8' });
  return (text.trim() === '' ? [] : JSON.parse(text)) as IpLink[];
}

const find = (name: string): IpLink | undefined => ip('link', 'show').find(({ ifname }) => ifname === name);
const dataOf = (name: string): unknown => find(name)?.linkinfo?.info_data;

function codeOf(run: () => unknown): unknown {
  try {
    run();
    return 'nothing thrown';
  } catch (error) {
    return error instanceof TunError ? error.code : error;
  }
}

function deviceDescriptors(): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/net/tun';
    } catch {
      return false;
    }
  });
}

/** What a process of another user gets for attaching to the device: 0, or the number of the error. */
function attachAs(uid: number, name: string): number {
  const script = `
    const koffi = require(${JSON.stringify(createRequire(import.meta.url).resolve('koffi'))});
    const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, ...)');
    const request = new Uint8Array(40);
    request.set(Buffer.from(${JSON.stringify(name)}));
    request.set([1, 0x10], 16);
    const fd = require('node:fs').openSync('/dev/net/tun', 'r+');
    console.log(ioctl(fd, 0x400454ca, 'void *', request) === 0 ? 0 : koffi.errno());`;
  const done = spawnSync(process.execPath, ['-e', script], { uid, gid: uid, encoding: 'utf8' });
  return done.status === 0 ? Number(done.stdout) : -1;
}

describe.skipIf(!isPossible)('a TUN device (needs root, /dev/net/tun and iproute2)', () => {
  const system = koffi.load(null);
  const setns = system.func('int setns(int, int)');
  const unshare = system.func('int unshare(int)');
  const opened: TunHandle[] = [];
  let home = -1;

  beforeEach(() => {
    home = openSync('/proc/thread-self/ns/net', 'r');
    expect(unshare(CLONE_NEWNET)).toBe(0);
  });

  afterEach(() => {
    for (const handle of opened.splice(0)) handle.close();
    expect(setns(home, CLONE_NEWNET)).toBe(0);
    closeSync(home);
  });

  function keep(handle: TunHandle): TunHandle {
    opened.push(handle);
    return handle;
  }

  it('is there with a carrier while it is held, and gone when it is closed', () => {
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
    expect(handle.isPersistent()).toBe(false);
    execFileSync('ip', ['link', 'set', 'heddle0', 'up']);
    expect(find('heddle0')).toMatchObject({
      linkinfo: { info_kind: 'tun', info_data: { type: 'tun', pi: false, persist: false, user: 'root' } },
    });
    expect(find('heddle0')?.flags).toEqual(expect.arrayContaining(['UP', 'LOWER_UP']));
    handle.close();
    handle.close();
    expect(handle.fd).toBe(-1);
    expect(find('heddle0')).toBeUndefined();
    expect(() => handle.setPersistent(true)).toThrow(TypeError);
  });

  it('stays without a carrier when it is persistent, until that is taken back', () => {
    const handle = keep(createTun({ name: 'heddle0', ownerUid: NOBODY }));
    handle.setPersistent(true);
    expect(handle.isPersistent()).toBe(true);
    execFileSync('ip', ['link', 'set', 'heddle0', 'up']);
    const { ifindex } = find('heddle0') as IpLink;
    handle.close();
    // NO-CARRIER follows up to a second later.
    expect(find('heddle0')?.flags).not.toContain('LOWER_UP');
    expect(dataOf('heddle0')).toMatchObject({ persist: true, user: 'nobody' });

    const again = keep(attachTun('heddle0'));
    expect(find('heddle0')?.ifindex).toBe(ifindex);
    expect(find('heddle0')?.flags).toContain('LOWER_UP');
    again.setPersistent(false);
    again.close();
    expect(find('heddle0')).toBeUndefined();
  });

  it('is deleted by netlink while it is held', () => {
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
    handle.setPersistent(true);
    execFileSync('ip', ['link', 'del', 'dev', 'heddle0']);
    expect(find('heddle0')).toBeUndefined();
    expect(codeOf(() => handle.setPersistent(true))).toBe('tun-device/failed');
    expect(codeOf(() => handle.isPersistent())).toBe('tun-device/failed');
  });

  it('is not made where a link has the name, of whatever kind', () => {
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
    const make = () => createTun({ name: 'heddle0', ownerUid: NOBODY });
    expect(codeOf(make)).toBe('tun-device/busy');
    handle.setPersistent(true);
    handle.close();
    expect(codeOf(make)).toBe('tun-device/busy');
    expect(dataOf('heddle0')).toMatchObject({ persist: true, user: 'root' });
    expect(codeOf(() => createTun({ name: 'lo', ownerUid: 0 }))).toBe('tun-device/busy');
    expect(deviceDescriptors()).toEqual([]);
  });

  it('is attached to only where it is a persistent device that nobody has open', () => {
    expect(codeOf(() => attachTun('heddle0'))).toBe('tun-device/absent');
    expect(find('heddle0')).toBeUndefined();
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
    expect(codeOf(() => attachTun('heddle0'))).toBe('tun-device/busy');
    handle.setPersistent(true);
    expect(codeOf(() => attachTun('heddle0'))).toBe('tun-device/busy');
    expect(codeOf(() => attachTun('lo'))).toBe('tun-device/failed');
    execFileSync('ip', ['tuntap', 'add', 'dev', 'tap0', 'mode', 'tap']);
    expect(codeOf(() => attachTun('tap0'))).toBe('tun-device/failed');
    expect(deviceDescriptors()).toHaveLength(1);
  });

  it.skipIf(!CAN_RUN_AS_OTHERS)(
    'is root alone to attach to, or its owner (needs a Node.js that others may run)',
    () => {
      const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
      handle.setPersistent(true);
      handle.close();
      const EPERM = 1;
      expect(attachAs(NOBODY, 'heddle0')).toBe(EPERM);
      const again = keep(attachTun('heddle0'));
      again.setOwner(NOBODY);
      again.close();
      expect(attachAs(NOBODY, 'heddle0')).toBe(0);
      expect(attachAs(NOBODY - 1, 'heddle0')).toBe(EPERM);
    },
  );

  it('is not made for an owner that is nobody, and leaves nothing behind', () => {
    for (const ownerUid of [-1, 0xffffffff, 1.5]) {
      expect(() => createTun({ name: 'heddle0', ownerUid })).toThrow(RangeError);
    }
    expect(find('heddle0')).toBeUndefined();
    expect(deviceDescriptors()).toEqual([]);
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0xfffffffe }));
    expect(dataOf('heddle0')).toMatchObject({ user: 4294967294 });
    handle.close();
  });

  it('is not made under a name that the kernel would change', () => {
    for (const name of ['tun%d', '', 'a/b', 'x'.repeat(16)]) {
      expect(() => createTun({ name, ownerUid: 0 })).toThrow(TypeError);
    }
    expect(ip('link', 'show').map(({ ifname }) => ifname)).toEqual(['lo']);
  });

  it('is not inherited by a child', () => {
    const handle = keep(createTun({ name: 'heddle0', ownerUid: 0 }));
    const flags = /^flags:\s*0([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${handle.fd}`, 'utf8'))?.[1];
    const O_CLOEXEC = 0o2000000;
    const O_NONBLOCK = 0o4000;
    const wanted = O_CLOEXEC | O_NONBLOCK;
    expect(Number.parseInt(flags ?? '', 8) & wanted).toBe(wanted);
    expect(execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })).not.toContain('/dev/net/tun');
  });

  it('costs no descriptor over many rounds', () => {
    for (let round = 0; round < 200; round++) {
      const handle = createTun({ name: 'heddle0', ownerUid: 0 });
      expect(codeOf(() => createTun({ name: 'heddle0', ownerUid: 0 }))).toBe('tun-device/busy');
      handle.close();
    }
    expect(deviceDescriptors()).toEqual([]);
    expect(find('heddle0')).toBeUndefined();
  });

  it('is not made without the right to change links', () => {
    process.seteuid?.(NOBODY);
    let failure: unknown;
    try {
      createTun({ name: 'heddle0', ownerUid: NOBODY });
    } catch (error) {
      failure = error;
    } finally {
      process.seteuid?.(0);
    }
    expect(failure).toMatchObject({ name: 'TunError', code: 'tun-device/no-privilege', errno: 'EPERM' });
    expect(deviceDescriptors()).toEqual([]);
  });
});
