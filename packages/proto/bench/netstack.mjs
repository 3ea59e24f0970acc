/**
 * Two stacks joined in memory, bulk data one way: payload Gbit/s of one core and the cost of a data segment at both ends.
 * Processor time is counted, not the clock on the wall: neighbours on the machine then matter less.
 *
 *   npx tsc -b packages/proto && node packages/proto/bench/netstack.mjs [connections] [family] [MiB]
 */
import { PacketArena } from '../dist/bytes/packet-arena.js';
import { parseAddress } from '../dist/ip/address.js';
import { Netstack } from '../dist/netstack/netstack.js';

const connectionCount = Number(process.argv[2] ?? 1);
const family = Number(process.argv[3] ?? 4);
const bytesPerRound = Number(process.argv[4] ?? 512) * 1024 * 1024;
const MTU_BYTES = 1280;
/** Packets moved before the other end runs: what one batch of UDP receives brings. */
const BATCH = 64;
const ROUNDS = 5;

const arena = new PacketArena(new Uint8Array(new WebAssembly.Memory({ initial: 32 }).buffer));
const rng = { fill: (bytes) => globalThis.crypto.getRandomValues(bytes) };
const client = createStack(family === 4 ? '100.64.0.1' : 'fd7a:115c:a1e0::1');
const server = createStack(family === 4 ? '100.64.0.2' : 'fd7a:115c:a1e0::2');
const remote = parseAddress(family === 4 ? '100.64.0.2' : 'fd7a:115c:a1e0::2');
const chunk = new Uint8Array(256 * 1024).fill(0x5a);
const sink = new Uint8Array(256 * 1024);
let receivedBytes = 0;
let packetCount = 0;

server.listenTcp(5201, { isDeferred: false });
const connections = [];
for (let i = 0; i < connectionCount; i++) {
  connections.push(client.connectTcp({ local: undefined, remote, port: 5201 }, performance.now()));
}
runUntil(() => connections.every((connection) => connection.writableBytes > 0));
for (let round = 0; round < ROUNDS; round++) {
  receivedBytes = 0;
  packetCount = 0;
  const startedAt = process.cpuUsage();
  runUntil(() => receivedBytes >= bytesPerRound);
  const used = process.cpuUsage(startedAt);
  const elapsedMs = (used.user + used.system) / 1000;
  const segments = receivedBytes / (MTU_BYTES - (family === 4 ? 52 : 72));
  const gbits = (receivedBytes * 8) / elapsedMs / 1e6;
  const nsPerSegment = (elapsedMs * 1e6) / segments;
  process.stdout.write(
    `netstack IPv${family}, ${connectionCount} connections, MTU ${MTU_BYTES}: ${gbits.toFixed(2)} Gbit/s, ` +
      `${nsPerSegment.toFixed(0)} ns per data segment (both ends), ${(packetCount / segments).toFixed(2)} packets each\n`,
  );
}

function createStack(address) {
  const stack = new Netstack({ arena, rng, mtuBytes: MTU_BYTES });
  stack.setAddresses([parseAddress(address)], performance.now());
  return stack;
}

function runUntil(isDone) {
  while (!isDone()) {
    const nowMs = performance.now();
    client.handleTimeout(nowMs);
    server.handleTimeout(nowMs);
    for (const connection of connections) connection.write(chunk, nowMs);
    move(client, server, nowMs);
    for (let event = server.pollEvent(); event !== undefined; event = server.pollEvent()) {
      if (event.kind !== 'tcp-readable') continue;
      for (let n = event.connection.read(sink, nowMs); n > 0; n = event.connection.read(sink, nowMs))
        receivedBytes += n;
    }
    move(server, client, nowMs);
    while (client.pollEvent() !== undefined);
  }
}

function move(from, to, nowMs) {
  for (let i = 0; i < BATCH; i++) {
    const slot = from.pollPacket(nowMs);
    if (slot < 0) return;
    packetCount++;
    to.handlePacket(slot, nowMs);
  }
}
