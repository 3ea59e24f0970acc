import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestMachine, upgrade } from '../../test/test-machine.ts';
import vectors from '../../test/vectors/coordination/tailscaled-requests.json' with { type: 'json' };
import { type Lab, startLab } from '../lab.ts';
import { readMapRequest } from './map-request.ts';
import { readRegisterRequest } from './registration.ts';

let lab: Lab;
let machine: TestMachine;

beforeEach(async () => {
  lab = await startLab();
  machine = await TestMachine.connect(lab.controlUrl);
});

afterEach(async () => {
  machine.close();
  await lab.close();
});

/** The lab still works. */
async function expectAlive(): Promise<void> {
  const other = await TestMachine.connect(lab.controlUrl);
  expect(await other.register('alive', { Auth: { AuthKey: lab.authKey } })).toMatchObject({ MachineAuthorized: true });
  other.close();
}

test.each(['/machine/register', '/machine/map'])('%s answers nonsense with 400', async (path) => {
  const bodies = ['', 'nonsense', 'null', '[]', '{}', '{"Version":131}', '{"Version":131,"NodeKey":"nodekey:12"}'];
  for (const body of bodies) expect((await machine.post(path, body)).status, body).toBe(400);
  const old = JSON.stringify({ ...machine.registerRequest('a'), Version: 60 });
  expect(await machine.post(path, old)).toMatchObject({ status: 400, body: Buffer.from('unsupported client version') });
  expect((await machine.post(path, Buffer.alloc(1_000_000, 0x20))).status).toBe(400);
  await expectAlive();
});

test('a registration without Hostinfo is refused', async () => {
  const { Hostinfo: _, ...rest } = machine.registerRequest('a');
  expect((await machine.post('/machine/register', JSON.stringify(rest))).status).toBe(400);
});

test('other paths do not exist', async () => {
  expect((await machine.post('/machine/other', '{}')).status).toBe(404);
  expect((await fetch(`${lab.controlUrl}/other`)).status).toBe(404);
  expect((await fetch(`${lab.controlUrl}/health`)).status).toBe(200);
});

test('a map needs a node key of the same machine', async () => {
  expect(await machine.update({})).toBe(404);
  await machine.register('a', { Auth: { AuthKey: lab.authKey } });
  const thief = await TestMachine.connect(lab.controlUrl);
  thief.nodeKey = machine.nodeKey;
  expect(await thief.update({ Endpoints: ['192.0.2.1:1'] })).toBe(404);
  expect(lab.nodes()).toMatchObject([{ endpoints: [] }]);
  thief.close();
});

test('a field of the wrong type in Hostinfo does not reach the other nodes', async () => {
  await machine.register('a', { Auth: { AuthKey: lab.authKey } });
  const Hostinfo = {
    Hostname: 'a',
    OS: 7,
    Userspace: 'yes',
    Services: [{ Proto: 'tcp', Port: -1 }, 5],
    RoutableIPs: 'x',
  };
  expect(await machine.update({ Hostinfo })).toBe(200);
  const other = await TestMachine.connect(lab.controlUrl);
  await other.register('b', { Auth: { AuthKey: lab.authKey } });
  expect(await other.openMap().next('Peers')).toMatchObject({ Peers: [{ Hostinfo: { Hostname: 'a' } }] });
  other.close();
});

test('/key wants a version', async () => {
  expect((await fetch(`${lab.controlUrl}/key`)).status).toBe(400);
  expect((await fetch(`${lab.controlUrl}/key?v=x`)).status).toBe(400);
});

test('an upgrade without a good handshake is answered with 400', async () => {
  await expect(upgrade(lab.controlUrl, new Uint8Array(0))).rejects.toThrow('status 400');
  await expect(upgrade(lab.controlUrl, new Uint8Array(101))).rejects.toThrow('status 400');
  await expect(upgrade(lab.controlUrl, new Uint8Array(3000))).rejects.toThrow('status 400');
  const status = await new Promise((resolve) => {
    const headers = { Upgrade: 'websocket', Connection: 'upgrade' };
    request(`${lab.controlUrl}/ts2021`, { method: 'POST', headers }, (response) => resolve(response.statusCode)).end();
  });
  expect(status).toBe(400);
  await expectAlive();
});

test('requests that are no HTTP, and odd targets, end only their own connection', async () => {
  const { port, hostname } = new URL(lab.controlUrl);
  for (const text of [
    '\0\0\0\0\r\n\r\n',
    'GET // HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n',
  ]) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(text);
    socket.end();
    socket.resume();
    await once(socket, 'close');
  }
  await expectAlive();
});

test('damaged records and broken HTTP/2 end only their own connection', async () => {
  for (const bytes of [Buffer.from('04ffff', 'hex'), Buffer.from(`040020${'00'.repeat(32)}`, 'hex')]) {
    const victim = await TestMachine.connect(lab.controlUrl);
    const socket = victim.rawSocket();
    socket.write(bytes);
    await once(victim.duplex, 'close');
    victim.close();
  }
  const victim = await TestMachine.connect(lab.controlUrl);
  victim.duplex.write(Buffer.alloc(5000, 0xff));
  await once(victim.duplex, 'close');
  victim.close();
  await expectAlive();
});

test('the early payload is optional', async () => {
  await using quiet = await startLab({ hasEarlyPayload: false, withRelay: false });
  const other = await TestMachine.connect(quiet.controlUrl);
  expect(await other.register('a', { Auth: { AuthKey: quiet.authKey } })).toMatchObject({ MachineAuthorized: true });
  expect(quiet.relay).toBeUndefined();
  other.close();
});

test('requests of tailscaled 1.102.5 are understood', () => {
  expect(readRegisterRequest(vectors.register)).toMatchObject({
    capabilityVersion: 142,
    isLogout: false,
    followup: '',
    hostinfo: { hostname: 'alpha', homeDerp: undefined },
  });
  expect(readRegisterRequest(vectors.logout)).toMatchObject({ isLogout: true });
  expect(readMapRequest(vectors.lite)).toMatchObject({
    shape: 'update',
    isZstd: true,
    update: { endpoints: vectors.lite.Endpoints, hostinfo: { homeDerp: 900 }, discoKey: vectors.lite.DiscoKey },
  });
  expect(readMapRequest(vectors.stream)).toMatchObject({ shape: 'stream', isOmittingPeers: false });
});

test('any JSON is read or refused, never thrown at', () => {
  const field = fc.constantFrom(
    'NodeKey',
    'Version',
    'Hostinfo',
    'Endpoints',
    'Auth',
    'Followup',
    'Expiry',
    'DiscoKey',
  );
  fc.assert(
    fc.property(field, fc.jsonValue(), (name, value) => {
      readRegisterRequest({ ...vectors.register, [name]: value });
      readMapRequest({ ...vectors.lite, [name]: value });
      readMapRequest({ ...vectors.lite, Hostinfo: { [name]: value, NetInfo: value, Services: [value] } });
    }),
  );
});
