import { Writable } from 'node:stream';
import { MapFrameReader } from '@heddle/proto/control/map-frames';
import { expect, test } from 'vitest';
import { MapStream } from './map-stream.ts';
import { NodeRegistry } from './node-registry.ts';

const SETTINGS = { domain: 'ts.test', derpMap: { Regions: {} }, filterRules: [] };
const UPDATE = { discoKey: undefined, hostinfo: undefined, capabilityVersion: 131 };

/** Takes one message, and the next only when released. */
class SlowReader extends Writable {
  readonly messages: unknown[] = [];
  readonly #reader = new MapFrameReader(() => undefined);
  #done: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#reader.handleBytes(chunk);
    this.messages.push(this.#reader.pollMessage());
    this.#done = done;
  }

  release(): void {
    this.#done?.();
  }
}

function createTailnet() {
  const streams: MapStream[] = [];
  const nodes: NodeRegistry = new NodeRegistry((id, change) => {
    for (const stream of streams) stream.noteChange(id, change);
  });
  for (const key of ['1', '2', '3']) {
    nodes.admit({
      machineKey: `mkey:${key}`,
      nodeKey: `nodekey:${key}`,
      isEphemeral: false,
      hostinfo: { hostname: `node-${key}`, hostinfo: {}, homeDerp: undefined },
      capabilityVersion: 131,
    });
  }
  const open = (output: Writable, keepAliveMs: number) => {
    const settings = () => SETTINGS;
    const stream = new MapStream({
      nodeId: 1,
      nodes,
      settings,
      output,
      isZstd: false,
      isOmittingPeers: false,
      keepAliveMs,
    });
    streams.push(stream);
    stream.start();
    return stream;
  };
  return { nodes, open };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('a reader that stalls gets one message with the latest state, however much happened', async () => {
  const { nodes, open } = createTailnet();
  const reader = new SlowReader();
  const stream = open(reader, 60_000);
  for (let i = 1; i <= 1_000; i++) {
    nodes.update(2, { ...UPDATE, endpoints: [`192.0.2.1:${i}`] });
    await nextTurn();
  }
  nodes.remove(3);
  await nextTurn();
  expect(reader.messages).toHaveLength(1);
  reader.release();
  await nextTurn();
  await nextTurn();
  expect(reader.messages).toHaveLength(2);
  expect(reader.messages[1]).toMatchObject({
    PeersChangedPatch: [{ NodeID: 2, Endpoints: ['192.0.2.1:1000'] }],
    PeersRemoved: [3],
  });
  stream.close();
});

test('all changes of one turn are one message', async () => {
  const { nodes, open } = createTailnet();
  const reader = new SlowReader();
  const stream = open(reader, 60_000);
  reader.release();
  await nextTurn();
  nodes.update(2, { ...UPDATE, endpoints: ['192.0.2.1:1'] });
  nodes.update(3, { ...UPDATE, endpoints: ['192.0.2.1:2'] });
  nodes.expire(3);
  await nextTurn();
  await nextTurn();
  expect(reader.messages[1]).toMatchObject({
    PeersChangedPatch: [{ NodeID: 2 }],
    PeersChanged: [{ ID: 3, Expired: true, Endpoints: ['192.0.2.1:2'] }],
  });
  stream.close();
});

test('a reader that takes nothing for a whole keep-alive period is given up', async () => {
  const { open } = createTailnet();
  const reader = new SlowReader();
  const stream = open(reader, 5);
  await new Promise((resolve) => reader.once('close', resolve));
  expect(reader.messages).toHaveLength(1);
  stream.close();
});
