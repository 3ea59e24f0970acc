// Sessions of other programs, byte for byte: the "source" of each vector names them.
import { describe, expect, test } from 'vitest';
import initiatorNoPsk from '../../test/vectors/wireguard/own-initiator-nopsk.json' with { type: 'json' };
import initiatorPsk from '../../test/vectors/wireguard/own-initiator-psk.json' with { type: 'json' };
import responderNoPsk from '../../test/vectors/wireguard/own-responder-nopsk.json' with { type: 'json' };
import responderPsk from '../../test/vectors/wireguard/own-responder-psk.json' with { type: 'json' };
import { bytesOf, numberedPacket, scriptedRng, WireGuardEnd } from '../../test/wireguard-end.ts';
import { formatHex } from '../bytes/hex.ts';
import { decodePublicKey } from '../keys/public-key.ts';

const PEER = 7;
const OTHER_PEER = 8;

interface Step {
  hex: string;
  ephemeralPrivate?: string;
  timestamp?: string;
  plaintext?: string;
  plaintextUnpadded?: string;
}

function hexOf(datagrams: readonly Uint8Array[]): string[] {
  return datagrams.map((bytes) => formatHex(bytes));
}

/** A wall clock whose next timestamp is the recorded one. */
function unixMsOf(timestamp: string): number {
  const seconds = Number.parseInt(timestamp.slice(8, 16), 16) - 10;
  return seconds * 1000 + Number.parseInt(timestamp.slice(16), 16) / 1e6 + 1;
}

/** The recorded plaintext without WireGuard's padding. */
function cut(plaintext: string): string {
  return plaintext.slice(0, 2 * Number.parseInt(plaintext.slice(4, 8), 16));
}

describe.each([
  ['without a pre-shared key', initiatorNoPsk],
  ['with a pre-shared key', initiatorPsk],
])('as initiator towards wireguard-go, %s', (_name, vector) => {
  const steps = vector.steps as Step[];
  const stepHex = (at: number): string => (steps[at] as Step).hex;

  function startSession(): WireGuardEnd {
    const first = steps[0] as Step;
    const end = new WireGuardEnd({
      privateKey: bytesOf(vector.initiatorPrivate),
      rng: scriptedRng([bytesOf(first.hex.slice(8, 16)), bytesOf(first.ephemeralPrivate as string)]),
      // Four slots allow one waiting packet: the second drives out the first, so that the session begins with a keepalive.
      slotCount: 4,
    });
    end.listed.set(PEER, decodePublicKey('node', bytesOf(vector.responderPublic)));
    end.presharedKeys.set(PEER, bytesOf(vector.presharedKey));
    end.listed.set(OTHER_PEER, decodePublicKey('node', new Uint8Array(32).fill(9)));
    end.unixMs = unixMsOf(first.timestamp as string);
    end.send(PEER, numberedPacket(1), 0);
    expect(hexOf(end.takeDatagrams())).toEqual([stepHex(0)]);
    end.send(OTHER_PEER, numberedPacket(2), 0);
    end.takeDatagrams();
    end.receive(bytesOf(stepHex(1)), 30);
    return end;
  }

  test('every byte of ours is reproduced: initiation, confirming keepalive, padded data', () => {
    const end = startSession();
    expect(end.eventKinds()).toEqual(['received', 'handshake-completed']);
    expect(hexOf(end.takeDatagrams())).toEqual([stepHex(2)]);
    end.send(PEER, bytesOf((steps[3] as Step).plaintextUnpadded as string), 40);
    expect(hexOf(end.takeDatagrams())).toEqual([stepHex(3)]);
    end.send(PEER, bytesOf((steps[6] as Step).plaintextUnpadded as string), 50);
    expect(hexOf(end.takeDatagrams())).toEqual([stepHex(6)]);
  });

  test('every byte of the other is opened: response, echo reply, passive keepalive', () => {
    const end = startSession();
    end.receive(bytesOf(stepHex(4)), 60);
    expect(hexOf(end.takePackets())).toEqual([cut((steps[4] as Step).plaintext as string)]);
    end.receive(bytesOf(stepHex(8)), 10_060);
    expect(end.takePackets()).toEqual([]);
    expect(end.wireGuard.counters.snapshot()).toEqual({ 'staging-full': 1 });
    expect(end.wireGuard.stats(PEER).rxBytes).toBe(92 + 80 + 32);
  });
});

describe.each([
  ['without a pre-shared key', responderNoPsk],
  ['with a pre-shared key', responderPsk],
])('as responder towards wireguard-go, %s', (_name, vector) => {
  const steps = vector.steps as Step[];
  const stepHex = (at: number): string => (steps[at] as Step).hex;

  test('the session is reproduced byte for byte', () => {
    const answer = steps[1] as Step;
    const end = new WireGuardEnd({
      privateKey: bytesOf(vector.responderPrivate),
      rng: scriptedRng([bytesOf(answer.hex.slice(8, 16)), bytesOf(answer.ephemeralPrivate as string)]),
    });
    end.listed.set(PEER, decodePublicKey('node', bytesOf(vector.initiatorPublic)));
    end.presharedKeys.set(PEER, bytesOf(vector.presharedKey));
    end.receive(bytesOf(stepHex(0)), 0);
    expect(hexOf(end.takeDatagrams())).toEqual([answer.hex]);
    expect(end.eventKinds()).toEqual(['received']);
    end.receive(bytesOf(stepHex(2)), 1);
    expect(end.eventKinds()).toEqual(['handshake-completed']);
    expect(hexOf(end.takePackets())).toEqual([cut((steps[2] as Step).plaintext as string)]);
    end.send(PEER, bytesOf((steps[3] as Step).plaintextUnpadded as string), 2);
    expect(hexOf(end.takeDatagrams())).toEqual([stepHex(3)]);
    expect(end.wireGuard.counters.snapshot()).toEqual({});
  });
});

test('a repeated packet and a repeated initiation of the recorded session are dropped', () => {
  const steps = responderPsk.steps as Step[];
  const answer = steps[1] as Step;
  const end = new WireGuardEnd({
    privateKey: bytesOf(responderPsk.responderPrivate),
    rng: scriptedRng([bytesOf(answer.hex.slice(8, 16)), bytesOf(answer.ephemeralPrivate as string)]),
  });
  end.listed.set(PEER, decodePublicKey('node', bytesOf(responderPsk.initiatorPublic)));
  end.presharedKeys.set(PEER, bytesOf(responderPsk.presharedKey));
  for (const at of [0, 0, 2, 2, 0]) end.receive(bytesOf((steps[at] as Step).hex), 100);
  expect(end.takePackets()).toHaveLength(1);
  expect(end.takeDatagrams()).toHaveLength(1);
  expect(end.wireGuard.counters.snapshot()).toEqual({ 'replayed-initiation': 2, replayed: 1 });
});
