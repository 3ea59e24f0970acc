import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Json, TestMachine } from '../../test/test-machine.ts';
import { type Lab, type LabOptions, startLab } from '../lab.ts';

let lab: Lab;
let machines: TestMachine[];

async function start(options: LabOptions = {}): Promise<void> {
  lab = await startLab({ authKey: 'the-key', ...options });
}

async function createMachine(known?: TestMachine): Promise<TestMachine> {
  const machine = await TestMachine.connect(lab.controlUrl, known?.machineKey);
  machines.push(machine);
  return machine;
}

async function join(hostname: string, key = 'the-key'): Promise<TestMachine> {
  const machine = await createMachine();
  expect(await machine.register(hostname, auth(key))).toMatchObject({ Error: '', MachineAuthorized: true });
  return machine;
}

function auth(key: string): Json {
  return { Auth: { AuthKey: key } };
}

function loginUrl(response: Json): string {
  expect(response).toMatchObject({ MachineAuthorized: false, Error: '' });
  return response['AuthURL'] as string;
}

beforeEach(() => {
  machines = [];
});

afterEach(async () => {
  for (const machine of machines) machine.close();
  await lab.close();
});

describe('pre-auth keys', () => {
  test('let machines in, which get addresses and names in order', async () => {
    await start({ domain: 'ts.test' });
    await join('Node A');
    await join('node-b');
    expect(lab.nodes().map(({ id, name, addresses }) => ({ id, name, addresses }))).toEqual([
      { id: 1, name: 'node-a.ts.test', addresses: ['100.64.0.1', 'fd7a:115c:a1e0::1'] },
      { id: 2, name: 'node-b.ts.test', addresses: ['100.64.0.2', 'fd7a:115c:a1e0::2'] },
    ]);
  });

  test('names that are taken get a number', async () => {
    await start();
    for (let i = 0; i < 3; i++) await join('box.local');
    expect(lab.nodes().map(({ name }) => name)).toEqual(['box.lab.test', 'box-1.lab.test', 'box-2.lab.test']);
  });

  test('that are wrong, spent or expired are refused with the reason', async () => {
    await start();
    const once = lab.createAuthKey({ isReusable: false });
    const old = lab.createAuthKey({ expiresUnixMs: 1 });
    await join('first', once);
    const machine = await createMachine();
    expect(await machine.register('x', auth('wrong'))).toMatchObject({ Error: 'invalid pre auth key' });
    expect(await machine.register('x', auth(once))).toMatchObject({ Error: 'authkey already used' });
    expect(await machine.register('x', auth(old))).toMatchObject({
      Error: 'authkey expired',
      MachineAuthorized: false,
    });
    expect(lab.nodes()).toHaveLength(1);
  });

  test('are not needed again while the node key is the same', async () => {
    await start();
    const node = await join('a', lab.createAuthKey({ isReusable: false }));
    expect(await node.register('a')).toMatchObject({ MachineAuthorized: true, AuthURL: '' });
    const again = await createMachine(node);
    again.nodeKey = node.nodeKey;
    expect(await again.register('a', auth('wrong'))).toMatchObject({ MachineAuthorized: true, Error: '' });
    expect(lab.nodes()).toHaveLength(1);
  });

  test('give a machine with a new node key its old address', async () => {
    await start();
    const node = await join('a');
    node.renewNodeKey();
    expect(await node.register('a', auth('the-key'))).toMatchObject({ MachineAuthorized: true });
    expect(lab.nodes()).toMatchObject([
      { id: 1, nodeKey: node.nodeKey, addresses: ['100.64.0.1', 'fd7a:115c:a1e0::1'] },
    ]);
  });

  test('do not let a machine take the node key of another', async () => {
    await start();
    const node = await join('a');
    const thief = await createMachine();
    thief.nodeKey = node.nodeKey;
    const response = await thief.register('b', auth('the-key'));
    expect(response).toMatchObject({ Error: 'node exists with a different machine key', MachineAuthorized: false });
  });

  test('are required when the lab says so', async () => {
    await start({ requiresAuthKey: true });
    const machine = await createMachine();
    expect(await machine.register('a')).toMatchObject({ AuthURL: '', MachineAuthorized: false });
    expect((await machine.register('a'))['Error']).not.toBe('');
  });
});

describe('interactive login', () => {
  test('waits until the page is answered', async () => {
    await start();
    const machine = await createMachine();
    const url = loginUrl(await machine.register('<b>laptop'));
    const pending = machine.register('laptop', { Followup: url });
    const page = await (await fetch(url)).text();
    expect(page).toContain('&#60;b&#62;laptop');
    expect(lab.nodes()).toHaveLength(0);
    expect((await fetch(url, { method: 'POST' })).status).toBe(200);
    expect(await pending).toMatchObject({ MachineAuthorized: true, AuthURL: '' });
    expect(lab.nodes()).toMatchObject([{ hostname: 'laptop' }]);
  });

  test('can be approved by the program that runs the lab', async () => {
    await start();
    const machine = await createMachine();
    const url = loginUrl(await machine.register('a'));
    expect(lab.approve(url)).toBe(true);
    expect(await machine.register('a', { Followup: url })).toMatchObject({ MachineAuthorized: true });
    expect(lab.approve(url)).toBe(false);
  });

  test('is not approved by the form of another site', async () => {
    await start();
    const machine = await createMachine();
    const url = loginUrl(await machine.register('a'));
    const response = await fetch(url, { method: 'POST', headers: { origin: 'http://evil.test' } });
    expect(response.status).toBe(403);
    expect(lab.nodes()).toHaveLength(0);
  });

  test('that is unknown, or of another machine, begins anew', async () => {
    await start();
    const machine = await createMachine();
    const other = await createMachine();
    const url = loginUrl(await machine.register('a'));
    const unknown = `${lab.controlUrl}/register/000000000000000000000000`;
    expect(loginUrl(await machine.register('a', { Followup: unknown }))).toBe(url);
    expect(loginUrl(await other.register('b', { Followup: url }))).not.toBe(url);
    expect((await fetch(unknown)).status).toBe(404);
  });

  test('survives a machine that goes away while it waits', async () => {
    await start();
    const machine = await createMachine();
    const url = loginUrl(await machine.register('a'));
    const pending = machine.register('a', { Followup: url }).catch(() => 'gone');
    machine.close();
    expect(await pending).toBe('gone');
    const again = await createMachine(machine);
    again.nodeKey = machine.nodeKey;
    lab.approve(url);
    expect(await again.register('a', { Followup: url })).toMatchObject({ MachineAuthorized: true });
  });
});

describe('the end of a node', () => {
  const PAST = { Expiry: '1970-01-01T00:02:03Z' };

  test('a logout expires the node; a new key revives it', async () => {
    await start();
    const node = await join('a');
    expect(await node.register('a', PAST)).toMatchObject({ NodeKeyExpired: true });
    expect(lab.nodes()).toMatchObject([{ isExpired: true }]);
    expect(await node.register('a', auth('the-key'))).toMatchObject({ NodeKeyExpired: true });
    node.renewNodeKey();
    expect(await node.register('a', auth('the-key'))).toMatchObject({ NodeKeyExpired: false, MachineAuthorized: true });
    expect(lab.nodes()).toMatchObject([{ id: 1, isExpired: false }]);
  });

  test('an ephemeral node is removed when it logs out', async () => {
    await start();
    const node = await join('a', lab.createAuthKey({ isEphemeral: true }));
    expect(lab.nodes()).toMatchObject([{ isEphemeral: true }]);
    await node.register('a', PAST);
    expect(lab.nodes()).toEqual([]);
  });

  test('an ephemeral node is removed when it stays away', async () => {
    await start({ ephemeralTimeoutMs: 20 });
    const watcher = await join('watcher');
    const map = watcher.openMap();
    await map.next('Peers');
    const node = await join('a', lab.createAuthKey({ isEphemeral: true }));
    const nodeMap = node.openMap();
    await nodeMap.next('Peers');
    nodeMap.close();
    expect(await map.next('PeersRemoved')).toMatchObject({ PeersRemoved: [2] });
    expect(lab.nodes()).toHaveLength(1);
  });

  test("Go's zero time is no logout", async () => {
    await start();
    const node = await join('a');
    expect(await node.register('a', { Expiry: '0001-01-01T00:00:00Z' })).toMatchObject({ NodeKeyExpired: false });
  });

  test('a removed node has to join again and gets another address', async () => {
    await start();
    const node = await join('a');
    expect(lab.remove(1)).toBe(true);
    expect(lab.remove(1)).toBe(false);
    expect(await node.register('a', auth('the-key'))).toMatchObject({ MachineAuthorized: true });
    expect(lab.nodes()).toMatchObject([{ id: 2 }]);
  });
});
