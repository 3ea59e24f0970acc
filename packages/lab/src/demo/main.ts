/**
 * `make demo`: the main job on the built-in lab, in one process and on loopback only. A lab, two nodes, 64 MiB and an
 * HTTP request from one to the other by name.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { Tailnet, type TailnetConnection } from '@heddle/tailnet';
import { startLab } from '../lab.ts';
import { Progress } from './progress.ts';

const TRANSFER_BYTES = 64 * 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;
const BULK_PORT = 9000;
const HTTP_PORT = 80;
/** The whole demo; afterwards it says what it was waiting for. */
const DEADLINE_MS = 50_000;

const NEXT_STEPS = [
  '',
  'Go on with a real Headscale:',
  '  headscale preauthkeys create --user 1                            # on the server',
  '  node_modules/.bin/heddle connect --login-server https://headscale.example.com --auth-key -   # reads the key from stdin',
  '  curl --proxy socks5h://127.0.0.1:16579 http://some-node/',
];

const progress = new Progress(process.stdout);
const deadline = setTimeout(() => {
  console.error(`demo: not done after ${DEADLINE_MS / 1000} s, while: ${progress.step}`);
  process.exit(1);
}, DEADLINE_MS);

try {
  await demo();
} catch (error) {
  console.error(`demo: failed while: ${progress.step}\n${error instanceof Error ? error.stack : error}`);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
}

async function demo(): Promise<void> {
  progress.begin('start a lab: coordination server, relay and STUN on loopback');
  await using lab = await startLab();
  progress.done(lab.controlUrl);

  progress.begin('join two nodes, each with its own keys');
  const join = (hostname: string) => Tailnet.join({ controlUrl: lab.controlUrl, authKey: lab.authKey, hostname });
  const [alice, bob] = await Promise.all([join('alice'), join('bob')]);
  progress.done(`alice ${alice.status().addresses[0]}, bob ${bob.status().addresses[0]}`);

  try {
    progress.begin('ping bob through the tunnel');
    progress.done(describePing(await alice.ping('bob')));
    await transfer(alice, bob);
    await httpRequest(alice, bob);
    progress.note(`path to bob: ${describePath(alice)}`);
  } finally {
    await Promise.all([alice.close(), bob.close()]);
  }
  for (const line of NEXT_STEPS) progress.note(line);
}

async function transfer(alice: Tailnet, bob: Tailnet): Promise<void> {
  progress.begin('send 64 MiB from alice to bob');
  const received = new Promise<string>((resolve, reject) => {
    bob.listen(BULK_PORT, (connection) => hashOf(connection).then(resolve, reject));
  });
  const connection = await alice.dial('bob', BULK_PORT);
  const hash = createHash('sha256');
  const startedAt = performance.now();
  for (let sent = 0; sent < TRANSFER_BYTES; sent += BLOCK_BYTES) {
    const block = randomBytes(BLOCK_BYTES);
    hash.update(block);
    if (!connection.write(block)) await new Promise((resolve) => connection.once('drain', resolve));
    progress.update((sent + BLOCK_BYTES) / TRANSFER_BYTES);
  }
  connection.end();
  const isSame = (await received) === hash.digest('hex');
  const seconds = (performance.now() - startedAt) / 1000;
  if (!isSame) throw new Error('bob received other bytes than alice sent');
  const gbits = (TRANSFER_BYTES * 8) / seconds / 1e9;
  progress.done(`${seconds.toFixed(2)} s, ${gbits.toFixed(2)} Gbit/s, SHA-256 equal`);
}

async function hashOf(connection: TailnetConnection): Promise<string> {
  const hash = createHash('sha256');
  connection.on('data', (chunk: Buffer) => hash.update(chunk));
  await finished(connection, { writable: false });
  connection.end();
  return hash.digest('hex');
}

async function httpRequest(alice: Tailnet, bob: Tailnet): Promise<void> {
  const url = `http://bob:${HTTP_PORT}/`;
  progress.begin(`GET ${url} from alice`);
  const server = createServer((_request, response) => response.end('hello from bob\n'));
  bob.listen(HTTP_PORT, (connection) => server.emit('connection', connection));
  const connection = await alice.dial('bob', HTTP_PORT);
  const startedAt = performance.now();
  const body = await new Promise<string>((resolve, reject) => {
    const outgoing = request(url, { createConnection: () => connection as unknown as Socket }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve(text));
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
  progress.done(`"${body.trim()}" in ${(performance.now() - startedAt).toFixed(1)} ms`);
}

function describePing(ping: { readonly roundTripMs: number }): string {
  return `${ping.roundTripMs.toFixed(2)} ms`;
}

function describePath(alice: Tailnet): string {
  const path = alice.status().peers.find((peer) => peer.name === 'bob')?.path;
  if (path?.kind === 'direct') return `direct, UDP ${path.address}`;
  return path?.kind === 'relay' ? `relay ${path.address}` : 'none';
}
