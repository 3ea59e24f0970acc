import { beforeEach, describe, expect, test } from 'vitest';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { Keypair } from './keypair.ts';
import { KeypairSlots } from './keypair-slots.ts';

let retired: number[] = [];
let slots: KeypairSlots;

function createKeypair(localIndex: number): Keypair {
  const keys = { sendKey: new Uint8Array(32), receiveKey: new Uint8Array(32), remoteIndex: 0 };
  return new Keypair(nobleProvider, keys, { localIndex, isInitiator: true, nowMs: 0 });
}

beforeEach(() => {
  retired = [];
  slots = new KeypairSlots(({ localIndex }) => retired.push(localIndex));
});

describe('rotation', () => {
  test('the initiator uses its session at once and keeps the one before for stragglers', () => {
    slots.addInitiated(createKeypair(1));
    slots.addInitiated(createKeypair(2));
    expect(slots.current?.localIndex).toBe(2);
    expect(retired).toEqual([]);
    slots.addInitiated(createKeypair(3));
    expect(retired).toEqual([1]);
  });

  test('the responder sends with its session only after the first packet on it', () => {
    slots.addInitiated(createKeypair(1));
    const second = createKeypair(2);
    slots.addResponded(second);
    expect(slots.current?.localIndex).toBe(1);
    expect(slots.confirm(second)).toBe(true);
    expect(slots.confirm(second)).toBe(false);
    expect(slots.current?.localIndex).toBe(2);
    expect(retired).toEqual([]);
  });

  test('a second response replaces an unproven session and drops the previous one', () => {
    slots.addInitiated(createKeypair(1));
    slots.addInitiated(createKeypair(2));
    slots.addResponded(createKeypair(3));
    expect(retired).toEqual([1]);
    slots.addResponded(createKeypair(4));
    expect(retired).toEqual([1, 3]);
    expect(slots.current?.localIndex).toBe(2);
  });

  test('after simultaneous initiation the responded session becomes previous, and both can be received', () => {
    slots.addInitiated(createKeypair(1));
    slots.addResponded(createKeypair(2));
    slots.addInitiated(createKeypair(3));
    expect(retired).toEqual([1]);
    expect(slots.current?.localIndex).toBe(3);
    slots.addInitiated(createKeypair(4));
    expect(retired).toEqual([1, 2]);
  });

  test('after a restart of the peer nothing can send, and clearing retires everything once', () => {
    slots.addInitiated(createKeypair(1));
    slots.addResponded(createKeypair(2));
    slots.retireCurrent();
    expect(slots.current).toBeUndefined();
    slots.retireCurrent();
    expect(retired).toEqual([]);
    slots.clear();
    slots.clear();
    expect(retired.sort()).toEqual([1, 2]);
  });
});

test('the keys given to a session are wiped', () => {
  const keys = { sendKey: new Uint8Array(32).fill(1), receiveKey: new Uint8Array(32).fill(2), remoteIndex: 0 };
  new Keypair(nobleProvider, keys, { localIndex: 1, isInitiator: true, nowMs: 0 });
  expect([...keys.sendKey, ...keys.receiveKey].every((byte) => byte === 0)).toBe(true);
});
