import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lab, startLab } from '@heddle/lab';
import { Tailnet } from '@heddle/tailnet';
import type { JoinOptions, PeerPath, TailnetConnection } from '@heddle/tailnet/types';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/processes.ts';
import { download, echo, serveTransfer, upload } from '../support/transfers.ts';

// Two of our nodes in our own lab, in this process and on loopback: what users do, without anybody else's program.
const TRANSFER_BYTES = 8 * 1024 * 1024;
const PORT = 7000;
const UDP_PORT = 7001;

const joinAs = (lab: Lab, hostname: string, options: Partial<JoinOptions> = {}): Promise<Tailnet> =>
  Tailnet.join({ controlUrl: lab.controlUrl, authKey: lab.authKey, hostname, ...options });

/** Joins alice and bob, of whom bob serves transfers. */
async function joinTwo(lab: Lab, options: Partial<JoinOptions> = {}): Promise<[Tailnet, Tailnet]> {
  const [alice, bob] = await Promise.all([joinAs(lab, 'alice', options), joinAs(lab, 'bob', options)]);
  serve(bob);
  await until('both know each other', 5000, () => alice.status().peerCount === 1 && bob.status().peerCount === 1);
  return [alice, bob];
}

function serve(node: Tailnet): void {
  node.listen(PORT, (connection) => {
    connection.on('error', () => {});
    serveTransfer(connection).catch(() => connection.destroy());
  });
}

const pathOf = (node: Tailnet): PeerPath | undefined => node.status().peers[0]?.path;
const codeOf = async (failing: Promise<unknown>): Promise<unknown> =>
  failing.then(
    () => 'no error',
    (error) => error.code,
  );

describe.each([
  { way: 'direct', isUdpEnabled: true },
  { way: 'relay', isUdpEnabled: false },
])('two nodes, $way', ({ way, isUdpEnabled }) => {
  let lab: Lab;
  let alice: Tailnet;
  let bob: Tailnet;

  beforeAll(async () => {
    lab = await startLab();
    [alice, bob] = await joinTwo(lab, { isUdpEnabled });
    await alice.ping('bob');
    await until(`a path: ${way}`, 8000, () => pathOf(alice)?.kind === way && pathOf(bob)?.kind === way);
  });
  afterAll(async () => {
    await Promise.all([alice?.close(), bob?.close()]);
    await lab?.close();
  });

  it.each([0, 1])('carry the same bytes each way to address %i of the peer', async (index) => {
    const address = bob.status().addresses[index] as string;
    expect(address.includes(':')).toBe(index === 1);
    expect(await upload(await alice.dial(address, PORT), TRANSFER_BYTES)).toBe(true);
    expect(await download(await alice.dial(address, PORT), TRANSFER_BYTES)).toBe(true);
    expect(pathOf(alice)?.kind).toBe(way);
  });

  it('carry many connections at once', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
    const answers = texts.map(async (text) => echo(await alice.dial('bob', PORT), text));
    expect(await Promise.all(answers)).toEqual(texts);
  });

  it('answer pings by name and by address, and say by which path', async () => {
    for (const host of ['bob', ...bob.status().addresses]) {
      const { address, roundTripMs, path } = await alice.ping(host);
      expect(bob.status().addresses).toContain(address);
      expect(roundTripMs).toBeGreaterThan(0);
      expect(path.kind).toBe(way);
    }
  });

  it('send datagrams both ways over both families', async () => {
    const server = bob.createUdpSocket(UDP_PORT);
    server.onMessage((data, { address, port }) => server.send(data, address, port));
    const client = alice.createUdpSocket();
    for (const [index, to] of bob.status().addresses.entries()) {
      const answer = new Promise<{ data: Uint8Array; address: string; port: number }>((resolve) =>
        client.onMessage((data, from) => resolve({ data: data.slice(), ...from })),
      );
      const data = new Uint8Array(1200).fill(index + 1);
      expect(client.send(data, to, UDP_PORT)).toBe(true);
      expect(await answer).toEqual({ data, address: to, port: UDP_PORT });
    }
    client.close();
    server.close();
  });
});

describe('a node in a lab', () => {
  let lab: Lab;
  let alice: Tailnet;
  let bob: Tailnet;

  beforeAll(async () => {
    lab = await startLab();
    [alice, bob] = await joinTwo(lab);
  });
  afterAll(async () => {
    await Promise.all([alice?.close(), bob?.close()]);
    await lab?.close();
  });

  it.each(['bob', 'BOB', 'bob.lab.test', 'Bob.Lab.Test', 'bob.lab.test.', 'bob.'])('is found as %s', async (name) => {
    expect(alice.resolve(name)).toEqual(bob.status().addresses);
    expect(await echo(await alice.dial(name, PORT), 'by name')).toBe('by name');
  });

  it('goes on sending after the peer has ended its side, and the other way round', async () => {
    const accepted = new Promise<TailnetConnection>((resolve) => bob.listen(7002, resolve));
    const client = await alice.dial('bob', 7002);
    client.write('from alice');
    const server = await accepted;
    const ended = once(server, 'end');
    const heard: string[] = [];
    server.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    client.end();
    await ended;
    expect(heard.join('')).toBe('from alice');
    expect(server.writableEnded).toBe(false);
    let answer = '';
    client.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    server.write('late ');
    server.end('answer');
    await once(client, 'end');
    expect(answer).toBe('late answer');
  });

  it('refuses a port that nobody listens on, and one that nobody listens on any more', async () => {
    expect(await codeOf(alice.dial('bob', 7777))).toBe('dial/refused');
    const listener = bob.listen(7003, (connection) => connection.end('open'));
    const connection = await alice.dial('bob', 7003);
    expect((await once(connection, 'data')).toString()).toBe('open');
    connection.end();
    listener.close();
    expect(await codeOf(alice.dial('bob', 7003))).toBe('dial/refused');
    bob.listen(7003, (again) => again.end('again')).close();
  });

  it('names the mistake of a caller by a code', async () => {
    expect(await codeOf(alice.dial('nobody', PORT))).toBe('dial/unknown-host');
    expect(await codeOf(alice.ping('nobody'))).toBe('dial/unknown-host');
    expect(await codeOf(alice.dial('100.64.99.99', PORT))).toBe('dial/no-route');
    await expect(alice.dial('bob', 0)).rejects.toThrow(RangeError);
    await expect(alice.dial('bob', 65_536)).rejects.toThrow(RangeError);
    expect(() => bob.listen(PORT, () => {})).toThrow(expect.objectContaining({ code: 'listen/port-in-use' }));
    const cancelled = AbortSignal.abort();
    expect(await codeOf(alice.dial('bob', PORT, { signal: cancelled }))).toBe('dial/aborted');
  });

  it('is refused with a wrong key and without one', async () => {
    expect(await codeOf(joinAs(lab, 'eve', { authKey: 'tskey-auth-wrong' }))).toBe('control/invalid-auth-key');
    expect(await codeOf(joinAs(lab, 'eve', { authKey: undefined }))).toBe('control/auth-key-required');
    await using strict = await startLab({ requiresAuthKey: true });
    expect(await codeOf(joinAs(strict, 'eve', { authKey: undefined }))).toBe('control/auth-key-required');
    expect(strict.nodes()).toEqual([]);
  });

  it('is let in by the page of an interactive login', async () => {
    const node = Tailnet.create({ controlUrl: lab.controlUrl, hostname: 'carol' });
    node.onState((state) => {
      if (state.kind === 'needs_login') lab.approve(state.authUrl);
    });
    node.start();
    await until('carol', 5000, () => node.state.kind === 'running');
    await node.close();
    expect(node.state.kind).toBe('stopped');
  });

  it('stops joining when its signal says so', async () => {
    const abort = new AbortController();
    const joining = codeOf(joinAs(lab, 'dave', { signal: abort.signal }));
    abort.abort();
    expect(await joining).toBe('tailnet/closed');
  });
});

describe('a node with a state directory', () => {
  let stateDir: string;
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  it('has the same addresses and key after it joined again, without an auth key', async () => {
    stateDir = join(mkdtempSync(join(tmpdir(), 'heddle-lab-')), 'state');
    await using lab = await startLab();
    const first = await joinAs(lab, 'alice', { stateDir });
    const { addresses, nodeKey } = first.status();
    expect(await codeOf(joinAs(lab, 'alice', { stateDir }))).toBe('state/locked');
    await first.close();
    const second = await joinAs(lab, 'alice', { stateDir, authKey: undefined });
    expect(second.status()).toMatchObject({ addresses, nodeKey });
    expect(lab.nodes()).toHaveLength(1);
    await second.close();
    expect(existsSync(stateDir)).toBe(true);
  });

  it('has to prove itself again after a logout', async () => {
    stateDir = mkdtempSync(join(tmpdir(), 'heddle-lab-'));
    await using lab = await startLab();
    const node = await joinAs(lab, 'alice', { stateDir });
    await node.logout();
    await node.close();
    expect(lab.nodes().every(({ isExpired }) => isExpired)).toBe(true);
    expect(await codeOf(joinAs(lab, 'alice', { stateDir, authKey: undefined }))).toBe('control/auth-key-required');
    const again = await joinAs(lab, 'alice', { stateDir });
    expect(again.state.kind).toBe('running');
    await again.close();
  });
});

describe('the end of a node', () => {
  it('leaves nothing running, even in the middle of transfers', async () => {
    const before = openHandles();
    const lab = await startLab();
    const [alice, bob] = await joinTwo(lab);
    const streams = await Promise.all([1, 2, 3].map(() => alice.dial('bob', PORT)));
    const [up, down, idle] = streams as [TailnetConnection, TailnetConnection, TailnetConnection];
    const closed = Promise.all(streams.map((stream) => once(stream, 'close')));
    upload(up, 512 * 1024 * 1024).catch(() => {});
    download(down, 512 * 1024 * 1024).catch(() => {});
    const udp = alice.createUdpSocket();
    await until('bytes under way', 5000, () => (alice.status().peers[0]?.rxBytes ?? 0) > 1024 * 1024);
    const dialing = codeOf(alice.dial('bob', PORT));
    await alice.close();
    await closed;
    expect(['dial/closed', 'no error']).toContain(await dialing);
    expect(alice.state.kind).toBe('stopped');
    expect(idle.destroyed).toBe(true);
    expect(udp.send(new Uint8Array(1), '100.64.0.2', 1)).toBe(false);
    expect(await codeOf(alice.dial('bob', PORT))).toBe('tailnet/not-running');
    expect(() => alice.listen(1, () => {})).toThrow(expect.objectContaining({ code: 'tailnet/not-running' }));
    await alice.close();
    await bob.close();
    await lab.close();
    await until('handles gone', 5000, () => openHandles() <= before);
  });

  it('of one tailnet leaves another one in this process alone', async () => {
    const labs = await Promise.all([startLab({ domain: 'one.test' }), startLab({ domain: 'two.test' })]);
    const [one, two] = await Promise.all(labs.map((lab) => joinTwo(lab)));
    expect(one![0].status().addresses).toEqual(two![0].status().addresses);
    expect(one![0].resolve('bob.two.test')).toEqual([]);
    const dials = [one![0].dial('bob', PORT), two![0].dial('bob', PORT)];
    const [inOne, inTwo] = (await Promise.all(dials)) as [TailnetConnection, TailnetConnection];
    inOne.on('error', () => {});
    await Promise.all(one!.map((node) => node.close()));
    await labs[0]!.close();
    expect(await echo(inTwo, 'still here')).toBe('still here');
    await Promise.all(two!.map((node) => node.close()));
    await labs[1]!.close();
  });
});

/** Sockets of this process: Node.js names its handles. */
function openHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => /^(UDP|TCP)/.test(name)).length;
}
