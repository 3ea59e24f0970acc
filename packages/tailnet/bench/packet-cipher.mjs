// Nanoseconds per sealed and opened packet for each cipher: `npm run build && node packages/tailnet/bench/packet-cipher.mjs`.
import { PACKET_SLOT_BYTES } from '@heddle/proto/bytes/packet-arena';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { NodePacketCipher } from '../dist/crypto/node-packet-cipher.js';
import { createWasmMemory, WasmPacketCipher } from '../dist/crypto/wasm-packet-cipher.js';

const LENGTHS = [0, 64, 512, 1280, 1420];
const SLOT_COUNT = 64;
const TAG_BYTES = 16;
const ROUNDS = 9;

const key = Uint8Array.from({ length: 32 }, (_, i) => i);
const memoryBytes = SLOT_COUNT * PACKET_SLOT_BYTES;
const subjects = [
  { name: 'wasm simd', cipher: new WasmPacketCipher(key), memory: createWasmMemory(memoryBytes), passes: 200 },
  {
    name: 'wasm simd, memory elsewhere',
    cipher: new WasmPacketCipher(key),
    memory: new Uint8Array(memoryBytes),
    passes: 100,
  },
  { name: 'node:crypto', cipher: new NodePacketCipher(key), memory: new Uint8Array(memoryBytes), passes: 50 },
  { name: 'noble', cipher: nobleProvider.createPacketCipher(key), memory: new Uint8Array(memoryBytes), passes: 10 },
];

print(`ns per packet, best of ${ROUNDS} rounds, Node ${process.version}`);
for (const subject of subjects) {
  for (const length of LENGTHS) {
    const { sealNs, openNs } = measure(subject, length);
    const gigabits = length === 0 ? '' : `${((length * 8) / sealNs).toFixed(1)} Gbit/s`;
    print(
      `${subject.name.padEnd(28)} ${String(length).padStart(5)} B  seal ${format(sealNs)}  open ${format(openNs)}  ${gigabits}`,
    );
  }
}

function measure({ cipher, memory, passes }, length) {
  let sealNs = Number.POSITIVE_INFINITY;
  let openNs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let sealing = 0n;
    let opening = 0n;
    for (let pass = 0; pass < passes; pass++) {
      const start = process.hrtime.bigint();
      for (let slot = 0; slot < SLOT_COUNT; slot++) cipher.seal(memory, slot * PACKET_SLOT_BYTES, length, pass);
      const middle = process.hrtime.bigint();
      for (let slot = 0; slot < SLOT_COUNT; slot++) {
        if (!cipher.open(memory, slot * PACKET_SLOT_BYTES, length + TAG_BYTES, pass)) throw new Error('tag mismatch');
      }
      opening += process.hrtime.bigint() - middle;
      sealing += middle - start;
    }
    sealNs = Math.min(sealNs, Number(sealing) / (passes * SLOT_COUNT));
    openNs = Math.min(openNs, Number(opening) / (passes * SLOT_COUNT));
  }
  return { sealNs, openNs };
}

function format(ns) {
  return `${ns.toFixed(0).padStart(6)} ns`;
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
