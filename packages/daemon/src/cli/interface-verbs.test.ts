import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHeddle, ScriptedDaemon, SUBNET, TUN } from '../../test/scripted-daemon.ts';

let daemon: ScriptedDaemon;

beforeEach(async () => {
  daemon = await ScriptedDaemon.start();
});
afterEach(() => daemon.close());

describe('heddle tun', () => {
  it('creates a device of which everything is chosen', async () => {
    daemon.says(TUN);
    expect(await daemon.ask('tun create')).toEqual({ status: 0, out: 'Made tun0, 10.0.0.1/24\n', err: '' });
    expect(daemon.asked[0]).toMatchObject({ line: 'POST /tun', body: {} });
    expect(daemon.asked[0]?.headers).toMatchObject({ 'content-type': 'application/json', 'content-length': '2' });
    expect(daemon.asked[0]?.headers).not.toHaveProperty('authorization');
  });

  it('creates a device of which everything is said', async () => {
    daemon.says({ ...TUN, ip6_addr: 'fd00::1', ip6_prefix_length: 64, warnings: ['The owner\u001b[2J is root'] });
    const options = '--name vpn0 --address 10.5.0.1/16 --ip6 fd00::1/64 --mtu 1400 --owner 1000 --attached';
    const { status, out, err } = await daemon.ask(`tun create ${options}`);
    expect([status, out]).toEqual([0, 'Made tun0, 10.0.0.1/24, fd00::1/64\n']);
    expect(err).toBe('warning: The owner?[2J is root\n');
    expect(daemon.asked[0]?.body).toEqual({
      name: 'vpn0',
      ip_addr: '10.5.0.1',
      prefix_length: 16,
      ip6_addr: 'fd00::1',
      ip6_prefix_length: 64,
      mtu: 1400,
      owner: 1000,
      persistent: false,
    });
    await daemon.ask('tun create --address 10.5.0.1 --ip6=auto --owner me');
    expect(daemon.asked[1]?.body).toEqual({ ip_addr: '10.5.0.1', ip6_addr: 'auto', owner: 'me' });
  });

  it('lists the devices as a table', async () => {
    const busy = { ...TUN, name: 'tun1', owner: 1000, attached: true };
    daemon.says([TUN, busy, { ...busy, name: 'tun2', state: 'missing' }]);
    expect((await daemon.ask('tun list')).out).toBe(
      [
        'DEVICE  ADDRESSES    MTU   OWNER     USE',
        'tun0    10.0.0.1/24  1500  root      free',
        'tun1    10.0.0.1/24  1500  uid 1000  in use',
        'tun2    10.0.0.1/24  1500  uid 1000  missing',
        '',
      ].join('\n'),
    );
    expect(daemon.asked[0]?.line).toBe('GET /tun');
    daemon.says([]);
    expect((await daemon.ask('tun list')).out).toBe('No TUN devices; make one: heddle tun create\n');
  });

  it('shows one device', async () => {
    daemon.says({ ...TUN, created_by: null });
    const { out } = await daemon.ask('tun show tun0');
    expect(daemon.asked[0]?.line).toBe('GET /tun/tun0');
    expect(out).toMatch(/^device {5}tun0 \(tun\)\naddresses {2}10.0.0.1\/24\nnetwork {4}10.0.0.0\/24\n/);
    expect(out).toMatch(/\nkept {7}until it is deleted\nuse {8}free\nmade {7}60 s ago, with the token\n$/);
  });

  it('deletes one device', async () => {
    daemon.answer = (response) => response.writeHead(204).end();
    expect(await daemon.ask('tun delete tun0')).toEqual({ status: 0, out: 'Deleted tun0\n', err: '' });
    expect(daemon.asked[0]).toMatchObject({ line: 'DELETE /tun/tun0', body: undefined });
    expect((await daemon.ask('tun delete tun0 --json')).out).toBe('{\n  "ok": true\n}\n');
  });

  it('lets no name lead to another path', async () => {
    for (const name of ['..', '../subnet', 'a/b', 'tun0?x', 'a\u001b', 'x'.repeat(16)]) {
      const { status, err } = await daemon.ask(`tun delete ${name}`);
      expect([status, err.includes('[tun/bad-name]')]).toEqual([2, true]);
    }
    expect(daemon.asked).toEqual([]);
  });
});

describe('heddle subnet', () => {
  it('adds a network that is chosen, or the one that is given', async () => {
    daemon.says(SUBNET);
    const added = 'Added 10.1.0.0/24 at hd0, this machine is 10.1.0.1\n';
    expect(await daemon.ask('subnet add')).toEqual({ status: 0, out: added, err: '' });
    await daemon.ask('subnet add --prefix-length 48 --ipv6 --mtu 1280');
    await daemon.ask('subnet add 10.1.0.0/24 --mtu 9000');
    expect(daemon.asked.map(({ line }) => line)).toEqual(['POST /subnet', 'POST /subnet', 'POST /subnet']);
    expect(daemon.asked.map(({ body }) => body)).toEqual([
      {},
      { prefix_length: 48, family: 6, mtu: 1280 },
      { cidr: '10.1.0.0/24', mtu: 9000 },
    ]);
  });

  it('lists the subnets as a table', async () => {
    daemon.says([SUBNET]);
    expect((await daemon.ask('subnet list')).out).toBe(
      [
        'NETWORK      ADDRESS   DEVICE  KIND   MTU   STATE',
        '10.1.0.0/24  10.1.0.1  hd0     dummy  1500  active',
        '',
      ].join('\n'),
    );
    daemon.says([]);
    expect((await daemon.ask('subnet list')).out).toBe('No local subnets; make one: heddle subnet add\n');
  });

  it('shows and deletes one subnet', async () => {
    daemon.says(SUBNET);
    expect((await daemon.ask('subnet show 10.1.0.0/24')).out).toContain('device   hd0 (dummy)\n');
    daemon.answer = (response) => response.writeHead(204).end();
    expect((await daemon.ask('subnet delete fd00:1::/64')).out).toBe('Deleted fd00:1::/64\n');
    expect(daemon.asked.map(({ line }) => line)).toEqual([
      'GET /subnet/10.1.0.0%2F24',
      'DELETE /subnet/fd00%3A1%3A%3A%2F64',
    ]);
  });

  it('lists what is free, a line each', async () => {
    daemon.says({ free: ['10.0.0.0/24', '10.0.1.0/24'] });
    expect((await daemon.ask('subnet free')).out).toBe('10.0.0.0/24\n10.0.1.0/24\n');
    await daemon.ask('subnet free --ipv6 --prefix-length 56 --count 2');
    expect(daemon.asked.map(({ line }) => line)).toEqual([
      'GET /subnet/free',
      'GET /subnet/free?prefix_length=56&family=6&count=2',
    ]);
    daemon.says({ free: [] });
    expect(await daemon.ask('subnet free')).toMatchObject({ status: 9, out: '' });
  });

  it('lets no network lead to another path', async () => {
    for (const cidr of ['free', '10.1.0.0', '..', '../tun', '10.1.0.0/24/x']) {
      const { status, err } = await daemon.ask(`subnet delete ${cidr}`);
      expect([status, err.includes('[subnet/bad-cidr]')]).toEqual([2, true]);
    }
    expect(daemon.asked).toEqual([]);
  });
});

describe('--json', () => {
  it('prints what the daemon says, fields of later versions too', async () => {
    const later = { ...TUN, colour: { is: 'red' } };
    for (const line of ['tun create', 'tun show tun0']) {
      daemon.says(later);
      expect(JSON.parse((await daemon.ask(`${line} --json`)).out)).toEqual(later);
    }
    daemon.says([later]);
    expect(JSON.parse((await daemon.ask('tun list --json')).out)).toEqual([later]);
    for (const line of ['subnet add', 'subnet show 10.1.0.0/24']) {
      daemon.says(SUBNET);
      expect(JSON.parse((await daemon.ask(`${line} --json`)).out)).toEqual(SUBNET);
    }
    daemon.says([SUBNET]);
    expect(JSON.parse((await daemon.ask('subnet list --json')).out)).toEqual([SUBNET]);
    daemon.says({ free: ['10.0.0.0/24'] });
    expect(JSON.parse((await daemon.ask('subnet free --json')).out)).toEqual({ free: ['10.0.0.0/24'] });
  });

  it('keeps control characters of the daemon from the terminal', async () => {
    const name = 'a\u001b[2J\u0007b\u009b31m\u007f';
    daemon.says([{ ...TUN, name }]);
    const json = await daemon.ask('tun list --json');
    expect(JSON.parse(json.out)).toEqual([{ ...TUN, name }]);
    expect(json.out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    for (const line of ['tun list', 'tun list', 'tun show tun0', 'tun create']) {
      daemon.says(line === 'tun list' ? [{ ...TUN, name }] : { ...TUN, name });
      const { out } = await daemon.ask(line);
      expect(out).toContain('a?[2J?b?31m?');
      expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    }
  });
});

describe('a line that is not understood', () => {
  it('has one line and the next step', async () => {
    const cases: [string, RegExp][] = [
      [
        'tun',
        /^heddle: After "heddle tun" comes one of create, list, show, delete \[usage\/bad-command\]\n {2}next: see heddle help tun/,
      ],
      ['tun frob', /^heddle: After "heddle tun" comes .*, not "frob" \[usage\/bad-command\]\n {2}next: /],
      ['tun --json-lines frob', /\[usage\/bad-command\]\n {2}next: /],
      ['subnet create 10.1.0.0/24', /add, list, show, delete, free, not "create" \[usage\/bad-command\]\n {2}next: /],
      ['subnet add 10.1.0.1/24 --prefix-length 24', /--prefix-length for .* \[usage\/two-networks\]\n {2}next: give/],
      ['subnet add fd00::/64 --ipv6', /--ipv6 for .* \[usage\/two-networks\]\n {2}next: give/],
      ['tun show', /^error: missing required argument 'name'\n\(heddle help/],
      ['tun show a b', /^error: too many arguments/],
      [
        'tun create --port 0',
        /^error: option '--port <port>' argument '0' is invalid\. Not a number from 1 to 65535\.\n\(/,
      ],
      ['tun create --mtu 70000', /^error: option '--mtu/],
      ['tun create --address 10.0.0.1/24/1', /Not an address like 10\.5\.0\.1\/24\.\n\(/],
      ['tun create --ip6 /64', /Not an address like/],
      ['subnet free --count 0', /^error: option '--count/],
      ['tun list --socket-path /x', /^error: unknown option '--socket-path'\n\(/],
    ];
    for (const [line, pattern] of cases) {
      const { status, out, err } = await runHeddle(line);
      expect([line, status, out, err.split('\n').length]).toEqual([line, 2, '', 3]);
      expect(err).toMatch(pattern);
    }
    const json = JSON.parse((await runHeddle('tun frob --json')).out);
    expect(json).toMatchObject({ ok: false, code: 'usage/bad-command' });
  });
});

describe('help', () => {
  it('lists what there is to do, with examples', async () => {
    for (const line of ['help tun', 'tun --help', 'tun help']) {
      const { status, out } = await runHeddle(line);
      expect([line, status]).toEqual([line, 0]);
      for (const text of ['create [options]', 'delete [options] <name>', 'heddle tun create --name vpn0', 'port 3030'])
        expect(out).toContain(text);
    }
    expect((await runHeddle('help subnet')).out).toContain('free [options]');
    expect((await runHeddle('help')).out).toMatch(/\n {2}tun +make, list and delete TUN devices\n/);
  });

  it('explains each of them', async () => {
    for (const line of ['help subnet add', 'subnet add --help', 'subnet help add']) {
      const { status, out } = await runHeddle(line);
      expect([line, status]).toEqual([line, 0]);
      expect(out).toContain('Usage: heddle subnet add [options] [cidr]');
      expect(out).toContain('--prefix-length <bits>');
      expect(out).not.toContain('--state-dir');
    }
  });
});
