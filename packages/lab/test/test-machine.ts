import { once } from 'node:events';
import { request } from 'node:http';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { formatBase64 } from '@heddle/proto/bytes/base64';
import { MapFrameReader } from '@heddle/proto/control/map-frames';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { generatePrivateKey, type MachinePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey, type MachinePublicKey, parsePublicKey } from '@heddle/proto/keys/public-key';
import { NoiseInitiator, RESPONSE_BYTES } from '@heddle/proto/noise/handshake';
import { NoiseDuplex } from '@heddle/tailnet/control/noise-duplex';
import { decompressZstd } from '@heddle/tailnet/control/zstd';
import { nodeRng } from '@heddle/tailnet/crypto/node-provider';

export const CAPABILITY_VERSION = 131;

export type Json = Record<string, unknown>;

/** A machine that speaks to a coordination server by hand: one Noise connection, one node key. */
export class TestMachine {
  readonly machineKey: MachinePrivateKey;
  nodeKey = randomKey('node');
  discoKey = randomKey('disco');
  readonly duplex: NoiseDuplex;
  readonly #session: ClientHttp2Session;

  readonly #socket: Socket;

  private constructor(machineKey: MachinePrivateKey, duplex: NoiseDuplex, socket: Socket) {
    this.machineKey = machineKey;
    this.duplex = duplex;
    this.#socket = socket;
    this.#session = connect('https://lab.test', { createConnection: () => duplex });
    this.#session.on('error', () => {});
  }

  /** `machineKey`: the machine of an earlier connection. */
  static async connect(controlUrl: string, machineKey?: MachinePrivateKey): Promise<TestMachine> {
    const key = machineKey ?? generatePrivateKey('machine', nobleProvider, nodeRng);
    const initiator = new NoiseInitiator({
      machineKey: key,
      serverKey: await fetchServerKey(controlUrl),
      capabilityVersion: CAPABILITY_VERSION,
      crypto: nobleProvider,
      rng: nodeRng,
    });
    const { socket, head } = await upgrade(controlUrl, initiator.initiation);
    const chunks = [head];
    while (Buffer.concat(chunks).length < RESPONSE_BYTES) {
      const [chunk] = await once(socket, 'data');
      chunks.push(chunk);
    }
    socket.pause();
    const bytes = Buffer.concat(chunks);
    const session = initiator.readResponse(bytes.subarray(0, RESPONSE_BYTES));
    if (typeof session === 'string') throw new Error(session);
    const rest = bytes.subarray(RESPONSE_BYTES);
    const duplex = new NoiseDuplex({ socket, session, crypto: nobleProvider, head: rest, isClient: true });
    return new TestMachine(key, duplex, socket);
  }

  /** Below the Noise connection. */
  rawSocket(): Socket {
    return this.#socket;
  }

  renewNodeKey(): void {
    this.nodeKey = randomKey('node');
  }

  /** Sends the text as it is. */
  async post(path: string, body: string | Buffer): Promise<{ status: number; body: Buffer }> {
    const stream = this.#session.request({ ':method': 'POST', ':path': path, ':scheme': 'https' });
    stream.on('error', () => {});
    stream.end(body);
    // Listening from the start: from Node.js 24 on, a short answer that came in one chunk is lost to a later reader.
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const headers = await new Promise<Json>((resolve, reject) => {
      stream.on('response', (answer) => stream.on('end', () => resolve(answer)));
      stream.on('close', () => reject(new Error('closed')));
    });
    return { status: headers[':status'] as number, body: Buffer.concat(chunks) };
  }

  async register(hostname: string, fields: Json = {}): Promise<Json> {
    const { status, body } = await this.post(
      '/machine/register',
      JSON.stringify(this.registerRequest(hostname, fields)),
    );
    if (status !== 200) throw new Error(`register: ${status} ${body}`);
    return JSON.parse(body.toString());
  }

  registerRequest(hostname: string, fields: Json = {}): Json {
    return {
      Version: CAPABILITY_VERSION,
      NodeKey: this.nodeKey,
      Hostinfo: { Hostname: hostname, OS: 'linux' },
      ...fields,
    };
  }

  mapRequest(fields: Json = {}): Json {
    return { Version: CAPABILITY_VERSION, NodeKey: this.nodeKey, DiscoKey: this.discoKey, ...fields };
  }

  /** A lite update; returns the status. */
  async update(fields: Json): Promise<number> {
    const { status, body } = await this.post(
      '/machine/map',
      JSON.stringify(this.mapRequest({ OmitPeers: true, ...fields })),
    );
    if (status === 200 && body.length > 0) throw new Error('a lite update has no answer');
    return status;
  }

  openMap(fields: Json = {}): TestMap {
    const stream = this.#session.request({ ':method': 'POST', ':path': '/machine/map', ':scheme': 'https' });
    stream.end(JSON.stringify(this.mapRequest({ Stream: true, ...fields })));
    return new TestMap(stream);
  }

  close(): void {
    this.#session.destroy();
    this.duplex.destroy();
  }
}

/** The messages of one long poll. */
export class TestMap {
  readonly #stream: ClientHttp2Stream;
  readonly #reader = new MapFrameReader(decompressZstd);
  readonly #messages: Json[] = [];
  #wake: () => void = () => {};
  isEnded = false;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      this.#reader.handleBytes(chunk);
      for (let m = this.#reader.pollMessage(); m !== undefined; m = this.#reader.pollMessage()) {
        this.#messages.push(m as Json);
      }
      this.#wake();
    });
    stream.on('close', () => {
      this.isEnded = true;
      this.#wake();
    });
    stream.on('end', () => {
      this.isEnded = true;
      this.#wake();
    });
  }

  /** Waits for the next message that has the field; others are skipped. */
  async next(field: string): Promise<Json> {
    for (;;) {
      const message = this.#messages.shift();
      if (message === undefined) {
        if (this.isEnded) throw new Error(`the stream ended before "${field}"`);
        await this.#change();
      } else if (message[field] !== undefined) return message;
    }
  }

  async end(): Promise<void> {
    while (!this.isEnded) await this.#change();
  }

  close(): void {
    this.#stream.close();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function randomKey(kind: 'node' | 'disco'): string {
  return formatPublicKey(kind, generatePrivateKey(kind, nobleProvider, nodeRng).publicKey);
}

async function fetchServerKey(controlUrl: string): Promise<MachinePublicKey> {
  const response = await fetch(`${controlUrl}/key?v=${CAPABILITY_VERSION}`);
  const { publicKey } = (await response.json()) as { publicKey: string };
  return parsePublicKey('machine', publicKey)!;
}

/** Upgrades to Noise; rejects with the status of any other answer. */
export function upgrade(controlUrl: string, initiation: Uint8Array): Promise<{ socket: Socket; head: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = {
      Upgrade: 'tailscale-control-protocol',
      Connection: 'upgrade',
      'X-Tailscale-Handshake': formatBase64(initiation),
    };
    const outgoing = request(`${controlUrl}/ts2021`, { method: 'POST', headers });
    outgoing.on('upgrade', (_response, socket, head) => resolve({ socket: socket as Socket, head }));
    outgoing.on('response', (response) => reject(new Error(`status ${response.statusCode}`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
