import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PACKET_SLOT_BYTES, PacketArena } from '@heddle/proto/bytes/packet-arena';
import type { DerpMap } from '@heddle/proto/control/derp-map';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, describe, expect, test } from 'vitest';
import { listen, relayMap, relayNode } from '../../test/relay-fixture.ts';
import { nodeRng } from '../crypto/node-provider.ts';
import { DerpLinks } from './derp-links.ts';

const DERPER = join(process.env['HEDDLE_PEERS'] ?? join(homedir(), '.cache/heddle-peers'), 'bin/derper');

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'heddle-derper-'));
  cleanups.push(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Starts derper and returns once its log says that it serves; `pin` is the CertName it recommends, if any. */
async function startDerper(state: string, port: number, isTls: boolean): Promise<{ child: ChildProcess; pin: string }> {
  const tls = ['-certmode', 'manual', '-certdir', state, '-hostname', '127.0.0.1'];
  const usual = ['-a', `127.0.0.1:${port}`, '-c', join(state, 'derper.key'), '-http-port', '-1', '-stun=false'];
  const child = spawn(DERPER, [...usual, ...(isTls ? tls : [])], { stdio: ['ignore', 'ignore', 'pipe'] });
  cleanups.push(() => void child.kill('SIGKILL'));
  let pin = '';
  for await (const line of createInterface({ input: child.stderr })) {
    pin = /"CertName":"([^"]+)"/.exec(line)?.[1] ?? pin;
    if (isTls ? pin !== '' : line.includes('serving on')) break;
  }
  child.stderr.resume();
  return { child, pin };
}

function connectNode(map: DerpMap) {
  const arena = new PacketArena(new Uint8Array(64 * PACKET_SLOT_BYTES));
  const nodeKey = generatePrivateKey('node', nobleProvider, nodeRng);
  const received: string[] = [];
  const codes: string[] = [];
  const happened = new EventEmitter();
  const links = new DerpLinks({
    arena,
    nodeKey,
    crypto: nobleProvider,
    rng: nodeRng,
    controlUrl: 'https://control.example',
    tlsCa: undefined,
    log: (line) => {
      codes.push(String(line.fields?.['code']));
      happened.emit('any');
    },
    onPacket: (_regionId, slot) => {
      received.push(new TextDecoder().decode(arena.packet(slot)));
      arena.free(slot);
      happened.emit('any');
    },
    onChange: () => happened.emit('any'),
  });
  cleanups.push(() => links.close());
  links.setMap(map);
  links.setHome(900);
  const until = async (condition: () => boolean) => {
    while (!condition()) await once(happened, 'any');
  };
  const send = (to: typeof nodeKey.publicKey, text: string) =>
    links.send(900, to, new TextEncoder().encode(text), 0, text.length);
  return { key: nodeKey.publicKey, links, received, codes, until, send };
}

// The real program, where it is installed; elsewhere these are skipped and recorded bytes stand in for it.
describe.skipIf(!existsSync(DERPER))('the real derper', () => {
  test.each([{ isTls: false }, { isTls: true }])('two nodes, killed and restarted: %o', async ({ isTls }) => {
    const [state, port] = [await folder(), await freePort()];
    const first = await startDerper(state, port, isTls);
    const node = relayNode(port, isTls ? { certName: first.pin, isInsecureForTests: false } : {});
    const [a, b] = [connectNode(relayMap({ 900: [node] })), connectNode(relayMap({ 900: [node] }))];
    await Promise.all([a, b].map((each) => each.until(() => each.links.isConnected(900))));
    a.send(b.key, 'hello');
    await b.until(() => b.received.length > 0);
    expect(b.received).toEqual(['hello']);

    first.child.kill('SIGKILL');
    await a.until(() => a.codes.filter((code) => code === 'derp/refused').length > 2);
    await startDerper(state, port, isTls);
    await Promise.all([a, b].map((each) => each.until(() => each.links.isConnected(900))));
    b.send(a.key, 'again');
    await a.until(() => a.received.length > 0);
    expect(a.received).toEqual(['again']);
  });

  test('another pin is refused', async () => {
    const [state, port] = [await folder(), await freePort()];
    const { pin } = await startDerper(state, port, true);
    const wrong = pin.slice(0, -1) + (pin.endsWith('0') ? '1' : '0');
    const a = connectNode(relayMap({ 900: [relayNode(port, { certName: wrong, isInsecureForTests: false })] }));
    await a.until(() => a.codes.includes('derp/tls-certificate'));
  });
});
