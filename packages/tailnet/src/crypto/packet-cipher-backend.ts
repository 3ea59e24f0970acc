import type { PacketCipher } from '@heddle/proto/crypto/provider';
import { NodePacketCipher } from './node-packet-cipher.ts';
import { isPacketCipherRight } from './packet-cipher-self-test.ts';
import { createWasmMemory, WasmPacketCipher } from './wasm-packet-cipher.ts';

/** One way to seal and open packets, and the memory on which it does so in place. */
export interface PacketCipherBackend {
  readonly kind: 'wasm' | 'node';
  createCipher(key: Uint8Array): PacketCipher;
  createMemory(lengthBytes: number): Uint8Array;
}

const NODE_BACKEND: PacketCipherBackend = {
  kind: 'node',
  createCipher: (key) => new NodePacketCipher(key),
  createMemory: (lengthBytes) => new Uint8Array(lengthBytes),
};

const WASM_BACKEND: PacketCipherBackend = {
  kind: 'wasm',
  createCipher: (key) => new WasmPacketCipher(key),
  createMemory: createWasmMemory,
};

let chosen: PacketCipherBackend | undefined;

/**
 * The fastest backend that works here, chosen once a process: WebAssembly if it runs and gives the known answers, else
 * node:crypto. `HEDDLE_PACKET_CIPHER=node` in the environment skips the test (docs/spec/crypto.md#backends).
 */
export function packetCipherBackend(): PacketCipherBackend {
  chosen ??= process.env['HEDDLE_PACKET_CIPHER'] !== 'node' && isWasmRight() ? WASM_BACKEND : NODE_BACKEND;
  return chosen;
}

function isWasmRight(): boolean {
  try {
    return isPacketCipherRight(WASM_BACKEND.createCipher, WASM_BACKEND.createMemory(2048));
  } catch {
    // No WebAssembly, no SIMD, or no address space for a memory.
    return false;
  }
}
