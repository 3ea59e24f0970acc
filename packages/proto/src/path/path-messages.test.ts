import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { endpoint } from '../../test/path-world.ts';
import { seededRng } from '../../test/seeded-rng.ts';
import recorded from '../../test/vectors/path/tailscaled-direct.json' with { type: 'json' };
import { formatHex, parseHex } from '../bytes/hex.ts';
import { nobleProvider } from '../crypto/noble-provider.ts';
import { DiscoBox } from '../disco/disco-box.ts';
import { type DiscoMessage, decodeDiscoMessage, encodeDiscoMessage } from '../disco/message.ts';
import { encodeRelayMessage } from '../disco/relay-message.ts';
import { generatePrivateKey, PrivateKey } from '../keys/private-key.ts';
import { type DiscoPublicKey, decodePublicKey, type NodePublicKey } from '../keys/public-key.ts';
import { PathAgent, type PathSource, type PathTransmit } from './path-agent.ts';
import type { PeerInfo } from './peer-path.ts';

const REGION = 7;
const PEER = 3;
const NOW_MS = 5000;
const OWN = generatePrivateKey('disco', nobleProvider, seededRng(1));
const OWN_NODE = generatePrivateKey('node', nobleProvider, seededRng(2)).publicKey;
const THEIRS = generatePrivateKey('disco', nobleProvider, seededRng(3));
const THEIR_NODE = generatePrivateKey('node', nobleProvider, seededRng(4)).publicKey;
const HERE = endpoint('198.51.100.9:41641');
const BY_RELAY: PathSource = { kind: 'derp', regionId: REGION, peer: PEER };
const INFO: PeerInfo = { nodeKey: THEIR_NODE, discoKey: THEIRS.publicKey, endpoints: [], homeDerp: REGION };

const theirBox = new DiscoBox({ privateKey: THEIRS, crypto: nobleProvider, rng: seededRng(6) });
let agent: PathAgent;

function byUdp(text: string): PathSource {
  return { kind: 'udp', endpoint: endpoint(text) };
}

function seal(message: DiscoMessage, box: DiscoBox = theirBox): Uint8Array {
  return box.seal(OWN.publicKey, encodeDiscoMessage(message)) as Uint8Array;
}

function ping(nodeKey: NodePublicKey | undefined = THEIR_NODE, id = 9): DiscoMessage {
  return { kind: 'ping', txId: new Uint8Array(12).fill(id), nodeKey, paddingBytes: 0 };
}

function transmits(): PathTransmit[] {
  const all: PathTransmit[] = [];
  for (let sent = agent.pollTransmit(); sent !== undefined; sent = agent.pollTransmit()) all.push(sent);
  return all;
}

/** What was sent, opened by the peer. */
function sentMessages(box: DiscoBox = theirBox): { to: string; message: DiscoMessage }[] {
  return transmits().map((sent) => ({
    to: sent.kind === 'udp' ? sent.to.text : `relay ${sent.regionId}`,
    message: decodeDiscoMessage(box.open(OWN.publicKey, sent.bytes) as Uint8Array) as DiscoMessage,
  }));
}

function pingsSent(): string[] {
  return sentMessages()
    .filter(({ message }) => message.kind === 'ping')
    .map(({ to }) => to);
}

/** Answers every ping in the queue after the given time. */
function answerPings(latencyMs: number, nowMs = NOW_MS): void {
  for (const { to, message } of sentMessages()) {
    if (message.kind !== 'ping') continue;
    agent.handleDisco(seal({ kind: 'pong', txId: message.txId, source: HERE }), byUdp(to), nowMs + latencyMs);
  }
}

beforeEach(() => {
  agent = new PathAgent({ discoKey: OWN, nodeKey: OWN_NODE, crypto: nobleProvider, rng: seededRng(5) });
  agent.updatePeer(PEER, INFO, NOW_MS);
});

describe('pings from a peer', () => {
  it('are answered where they came from, with the address they came from, and pinged back', () => {
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1234'), NOW_MS);
    expect(agent.pollTimeout()?.atMs).toBe(NOW_MS);
    const [pong, back, ...more] = sentMessages();
    const txId = new Uint8Array(12).fill(9);
    expect(pong).toEqual({
      to: '203.0.113.8:1234',
      message: { kind: 'pong', txId, source: endpoint('203.0.113.8:1234') },
    });
    expect(back).toMatchObject({ to: '203.0.113.8:1234', message: { kind: 'ping', nodeKey: OWN_NODE } });
    expect(more).toEqual([]);
  });

  it('make the path direct without any traffic of ours', () => {
    agent.handleDisco(seal(ping()), byUdp('127.0.0.1:1234'), NOW_MS);
    expect(agent.describe(PEER)).toEqual({ kind: 'relay', regionId: REGION });
    answerPings(3);
    expect(agent.describe(PEER)).toEqual({ kind: 'direct', endpoint: endpoint('127.0.0.1:1234'), latencyMs: 3 });
    expect(agent.pollEvent()).toEqual({ kind: 'path-changed', peer: PEER });
    expect(agent.pollEvent()).toBeUndefined();
  });

  it('are not pinged back again and again', () => {
    for (let i = 0; i < 10; i++) agent.handleDisco(seal(ping(THEIR_NODE, i)), byUdp('203.0.113.8:1234'), NOW_MS + i);
    expect(pingsSent()).toHaveLength(1);
  });

  it('from the trusted address need no ping back', () => {
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1234'), NOW_MS);
    answerPings(10);
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1234'), NOW_MS + 2000);
    expect(pingsSent()).toEqual([]);
  });

  it('by relay are answered by the same relay with the address that stands for it', () => {
    agent.handleDisco(seal(ping()), { kind: 'derp', regionId: 12, peer: PEER }, NOW_MS);
    const [sent] = transmits();
    expect(sent).toMatchObject({ kind: 'derp', regionId: 12, to: THEIR_NODE });
    const opened = theirBox.open(OWN.publicKey, (sent as PathTransmit).bytes) as Uint8Array;
    expect(decodeDiscoMessage(opened)).toMatchObject({ kind: 'pong', source: { text: '127.3.3.40:12' } });
  });

  it('from a hundred addresses fill the list, and are still answered beyond it', () => {
    for (let i = 0; i < 150; i++) agent.handleDisco(seal(ping()), byUdp(`203.0.113.8:${1000 + i}`), NOW_MS);
    const kinds = sentMessages().map(({ message }) => message.kind);
    expect(kinds.filter((kind) => kind === 'pong')).toHaveLength(150);
    expect(kinds.filter((kind) => kind === 'ping')).toHaveLength(100);
  });
});

describe('pongs', () => {
  it('make the ping’s destination the best address, wherever they come from', () => {
    agent.updatePeer(PEER, { ...INFO, endpoints: [endpoint('203.0.113.8:1')] }, NOW_MS);
    agent.probe(PEER, NOW_MS);
    const message = sentMessages().find(({ to }) => to === '203.0.113.8:1')?.message as DiscoMessage & { kind: 'ping' };
    agent.handleDisco(seal({ kind: 'pong', txId: message.txId, source: HERE }), byUdp('192.0.2.77:9'), NOW_MS + 5);
    expect(agent.describe(PEER)).toMatchObject({ kind: 'direct', endpoint: { text: '203.0.113.8:1' } });
  });

  it('to nothing of ours, or by relay, count for nothing', () => {
    agent.handleDisco(seal({ kind: 'pong', txId: new Uint8Array(12), source: HERE }), byUdp('192.0.2.7:9'), NOW_MS);
    expect(agent.counters.count('unknown-transaction')).toBe(1);
    agent.updatePeer(PEER, { ...INFO, endpoints: [endpoint('203.0.113.8:1')] }, NOW_MS);
    agent.probe(PEER, NOW_MS);
    const message = sentMessages()[0]?.message as DiscoMessage & { kind: 'ping' };
    agent.handleDisco(seal({ kind: 'pong', txId: message.txId, source: HERE }), BY_RELAY, NOW_MS);
    expect(agent.counters.count('pong-by-relay')).toBe(1);
    expect(agent.describe(PEER).kind).toBe('relay');
  });

  it('choose loopback before the LAN before the Internet when the times are alike', () => {
    const texts = ['203.0.113.8:1', '192.168.1.8:1', '127.0.0.1:1'];
    agent.updatePeer(PEER, { ...INFO, endpoints: texts.map(endpoint) }, NOW_MS);
    agent.probe(PEER, NOW_MS);
    answerPings(4);
    expect(agent.describe(PEER)).toMatchObject({ endpoint: { text: '127.0.0.1:1' } });
  });
});

describe('calls', () => {
  const call: DiscoMessage = { kind: 'call-me-maybe', endpoints: [endpoint('203.0.113.8:1'), endpoint('10.0.0.8:1')] };

  it('by relay are followed at once', () => {
    agent.handleDisco(seal(call), BY_RELAY, NOW_MS);
    expect(pingsSent()).toEqual(['203.0.113.8:1', '10.0.0.8:1']);
  });

  it('by UDP, or in another peer’s name, are dropped', () => {
    const stranger = generatePrivateKey('disco', nobleProvider, seededRng(8));
    agent.updatePeer(4, { ...INFO, discoKey: stranger.publicKey, nodeKey: OWN_NODE }, NOW_MS);
    agent.handleDisco(seal(call), byUdp('203.0.113.8:1'), NOW_MS);
    agent.handleDisco(seal(call), { kind: 'derp', regionId: REGION, peer: 4 }, NOW_MS);
    agent.handleDisco(seal(call), { kind: 'derp', regionId: REGION, peer: -1 }, NOW_MS);
    expect(agent.counters.count('call-by-udp')).toBe(1);
    expect(agent.counters.count('wrong-relay-sender')).toBe(2);
    expect(transmits()).toEqual([]);
  });

  it('to addresses that no datagram reaches are not followed', () => {
    const odd = ['[fe80::1]:1', '[::]:1', '0.0.0.0:1', '224.0.0.1:1', '255.255.255.255:1', '[ff02::1]:1'];
    agent.handleDisco(seal({ kind: 'call-me-maybe', endpoints: odd.map(endpoint) }), BY_RELAY, NOW_MS);
    expect(transmits()).toEqual([]);
  });

  it('replace the endpoints of the call before, and cannot ask for more than a hundred', () => {
    agent.handleDisco(seal(call), BY_RELAY, NOW_MS);
    transmits();
    const many = Array.from({ length: 500 }, (_, i) => endpoint(`203.0.113.9:${i + 1}`));
    agent.handleDisco(seal({ kind: 'call-me-maybe', endpoints: many }), BY_RELAY, NOW_MS + 100);
    const pinged = pingsSent();
    expect(pinged).toHaveLength(100);
    expect(pinged).not.toContain('10.0.0.8:1');
  });

  it('in a row do not ping one address twice', () => {
    agent.handleDisco(seal(call), BY_RELAY, NOW_MS);
    agent.handleDisco(seal(call), BY_RELAY, NOW_MS + 10);
    expect(pingsSent()).toHaveLength(2);
  });

  it('of ours carry our endpoints, and ask for fresh ones when they are old', () => {
    agent.setLocalEndpoints([HERE], NOW_MS);
    agent.probe(PEER, NOW_MS);
    expect(sentMessages()).toContainEqual({ to: 'relay 7', message: { kind: 'call-me-maybe', endpoints: [HERE] } });
    expect(agent.pollEvent()).toBeUndefined();
    agent.probe(PEER, NOW_MS + 28_000);
    expect(agent.pollEvent()).toEqual({ kind: 'endpoints-wanted' });
  });

  it('of ours are repeated when the endpoints turn out to be others', () => {
    agent.setLocalEndpoints([HERE], NOW_MS);
    agent.chooseRoute(PEER, NOW_MS);
    agent.handleTimeout(NOW_MS);
    transmits();
    agent.setLocalEndpoints([HERE], NOW_MS + 50);
    expect(transmits()).toEqual([]);
    const there = endpoint('198.51.100.9:2');
    agent.setLocalEndpoints([there], NOW_MS + 60);
    expect(sentMessages()).toEqual([{ to: 'relay 7', message: { kind: 'call-me-maybe', endpoints: [there] } }]);
  });
});

describe('peers', () => {
  it('that share a disco key are told apart by their pings, and by which ping a pong answers', () => {
    const otherNode = generatePrivateKey('node', nobleProvider, seededRng(9)).publicKey;
    agent.updatePeer(4, { ...INFO, nodeKey: otherNode }, NOW_MS);
    agent.handleDisco(seal(ping(otherNode)), byUdp('203.0.113.8:1'), NOW_MS);
    answerPings(5);
    expect([agent.describe(PEER).kind, agent.describe(4).kind]).toEqual(['relay', 'direct']);
    agent.handleDisco(seal(ping(undefined)), byUdp('203.0.113.8:2'), NOW_MS);
    answerPings(5);
    expect(agent.describe(PEER)).toMatchObject({ kind: 'direct', endpoint: { text: '203.0.113.8:2' } });
    agent.removePeer(4);
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS + 100);
    expect(sentMessages()[0]).toMatchObject({ message: { kind: 'pong' } });
  });

  it('without a disco key are reached by relay only, and cost no timer', () => {
    agent.updatePeer(PEER, { ...INFO, discoKey: undefined, endpoints: [HERE] }, NOW_MS);
    expect(agent.chooseRoute(PEER, NOW_MS)).toEqual({ endpoint: undefined, regionId: REGION });
    agent.noteReceived(PEER, byUdp('203.0.113.8:1'), NOW_MS);
    agent.probe(PEER, NOW_MS);
    expect(agent.pollTransmit()).toBeUndefined();
    expect(agent.pollTimeout()).toBeUndefined();
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS);
    expect(agent.counters.count('unknown-sender')).toBe(1);
  });

  it('with a new disco key lose their path, and the old key opens nothing', () => {
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS);
    answerPings(5);
    agent.pollEvent();
    const next = generatePrivateKey('disco', nobleProvider, seededRng(20));
    agent.updatePeer(PEER, { ...INFO, discoKey: next.publicKey }, NOW_MS + 100);
    expect(agent.describe(PEER).kind).toBe('relay');
    expect(agent.pollEvent()).toEqual({ kind: 'path-changed', peer: PEER });
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS + 100);
    expect(agent.counters.count('unknown-sender')).toBe(1);
    const nextBox = new DiscoBox({ privateKey: next, crypto: nobleProvider, rng: seededRng(1) });
    agent.handleDisco(seal(ping(), nextBox), byUdp('203.0.113.8:1'), NOW_MS + 100);
    expect(sentMessages(nextBox)).toHaveLength(2);
  });

  it('without a home relay are answered where they were last seen', () => {
    agent.updatePeer(PEER, { ...INFO, homeDerp: 0 }, NOW_MS);
    expect(agent.chooseRoute(PEER, NOW_MS)).toEqual({ endpoint: undefined, regionId: 0 });
    expect(agent.describe(PEER)).toEqual({ kind: 'none' });
    agent.noteReceived(PEER, { kind: 'derp', regionId: 21, peer: PEER }, NOW_MS);
    expect(agent.chooseRoute(PEER, NOW_MS)).toEqual({ endpoint: undefined, regionId: 21 });
    expect(agent.pollEvent()).toEqual({ kind: 'path-changed', peer: PEER });
  });

  it('that are unknown have no route', () => {
    for (const handle of [-1, 99]) {
      expect(agent.chooseRoute(handle, NOW_MS)).toEqual({ endpoint: undefined, regionId: 0 });
      expect(agent.describe(handle)).toEqual({ kind: 'none' });
      agent.noteReceived(handle, byUdp('203.0.113.8:1'), NOW_MS);
      agent.probe(handle, NOW_MS);
      agent.removePeer(handle);
    }
  });

  it('removed while a path is found leave nothing behind', () => {
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS);
    answerPings(5);
    agent.removePeer(PEER);
    expect(agent.pollEvent()).toBeUndefined();
    agent.handleTimeout(NOW_MS + 100_000);
    expect(agent.pollTimeout()).toBeUndefined();
  });
});

describe('without UDP', () => {
  it('packets go by relay, and a ping by relay is still answered', () => {
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS);
    answerPings(5);
    agent.setUdpEnabled(false);
    expect({ ...agent.chooseRoute(PEER, NOW_MS + 10) }).toEqual({ endpoint: undefined, regionId: REGION });
    agent.handleTimeout(NOW_MS + 10);
    agent.handleDisco(seal(ping()), byUdp('203.0.113.8:1'), NOW_MS + 10);
    agent.handleDisco(seal({ kind: 'call-me-maybe', endpoints: [HERE] }), BY_RELAY, NOW_MS + 10);
    expect(agent.counters.count('udp-disabled')).toBe(2);
    agent.handleDisco(seal(ping()), BY_RELAY, NOW_MS + 10);
    expect(sentMessages()).toMatchObject([{ to: 'relay 7', message: { kind: 'pong' } }]);
    agent.setUdpEnabled(true);
    agent.handleTimeout(NOW_MS + 20);
    expect(pingsSent()).toEqual(['203.0.113.8:1']);
  });
});

describe('bytes of tailscaled', () => {
  const { alpha, beta } = recorded.nodes;

  function key<K extends 'node' | 'disco'>(kind: K, hex: string): K extends 'node' ? NodePublicKey : DiscoPublicKey {
    return decodePublicKey(kind, parseHex(hex) as Uint8Array) as never;
  }

  it('get the pongs that tailscaled itself gave, and a ping back', () => {
    const own = new PrivateKey<'disco'>(parseHex(alpha.discoPrivate) as Uint8Array, nobleProvider);
    const peer = new PrivateKey<'disco'>(parseHex(beta.discoPrivate) as Uint8Array, nobleProvider);
    const nodeKey = key('node', alpha.nodePublic);
    const tested = new PathAgent({ discoKey: own, nodeKey, crypto: nobleProvider, rng: seededRng(1) });
    const info = { nodeKey: key('node', beta.nodePublic), discoKey: key('disco', beta.discoPublic), endpoints: [] };
    tested.updatePeer(PEER, { ...info, homeDerp: REGION }, 0);
    const box = new DiscoBox({ privateKey: peer, crypto: nobleProvider, rng: seededRng(1) });
    const answers: string[] = [];
    const pinged = new Set<string>();
    for (const packet of recorded.packets) {
      if (packet.from !== 'beta') continue;
      const bytes = parseHex(packet.hex) as Uint8Array;
      tested.handleDisco(bytes, byUdp(packet.src), packet.us / 1000);
      for (let sent = tested.pollTransmit(); sent !== undefined; sent = tested.pollTransmit()) {
        const plaintext = box.open(key('disco', alpha.discoPublic), sent.bytes) as Uint8Array;
        if (plaintext[0] === 2) answers.push(`${packet.src} ${formatHex(plaintext)}`);
        else if (sent.kind === 'udp') pinged.add(sent.to.text);
      }
    }
    const pongs = recorded.packets.filter((packet) => packet.from === 'alpha' && packet.type === 2);
    expect(new Set(answers)).toEqual(new Set(pongs.map((packet) => `${packet.dst} ${packet.plaintext}`)));
    expect(pongs.length).toBeGreaterThan(5);
    expect(pinged).toEqual(new Set(['127.0.0.1:58574', '10.98.0.1:58574']));
    // Its recorded pongs answer pings of another run.
    expect(tested.counters.count('unknown-transaction')).toBeGreaterThan(0);
  });
});

describe('foreign bytes', () => {
  it('are counted by reason', () => {
    const stranger = generatePrivateKey('disco', nobleProvider, seededRng(30));
    const strangerBox = new DiscoBox({ privateKey: stranger, crypto: nobleProvider, rng: seededRng(1) });
    const damaged = seal(ping());
    damaged[70] = (damaged[70] as number) ^ 1;
    const bind = encodeRelayMessage({
      kind: 'bind-relay',
      vni: 1,
      generation: 1,
      remoteKey: OWN.publicKey,
      challenge: new Uint8Array(32),
    });
    const source = byUdp('203.0.113.8:1');
    agent.handleDisco(new Uint8Array(61), source, NOW_MS);
    agent.handleDisco(new Uint8Array(100), source, NOW_MS);
    agent.handleDisco(seal(ping(), strangerBox), source, NOW_MS);
    agent.handleDisco(damaged, source, NOW_MS);
    agent.handleDisco(theirBox.seal(OWN.publicKey, Uint8Array.of(1, 0)) as Uint8Array, source, NOW_MS);
    agent.handleDisco(theirBox.seal(OWN.publicKey, bind) as Uint8Array, source, NOW_MS);
    expect(agent.counters.snapshot()).toEqual({
      short: 1,
      'no-magic': 1,
      'unknown-sender': 1,
      'bad-box': 1,
      'bad-message': 1,
      'peer-relay-message': 1,
    });
    expect(transmits()).toEqual([]);
  });

  it('never make it throw, sealed by the peer or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isRelayed) => {
        const source = isRelayed ? BY_RELAY : byUdp('203.0.113.8:1');
        agent.handleDisco(bytes, source, NOW_MS);
        agent.handleDisco(theirBox.seal(OWN.publicKey, bytes) as Uint8Array, source, NOW_MS);
        transmits();
      }),
    );
  });

  it('cannot fill the queue of messages beyond its bound', () => {
    for (let i = 0; i < 3000; i++) agent.handleDisco(seal(ping()), BY_RELAY, NOW_MS);
    expect(agent.counters.count('transmit-queue-full')).toBe(3000 - 2048);
    expect(transmits()).toHaveLength(2048);
  });
});
