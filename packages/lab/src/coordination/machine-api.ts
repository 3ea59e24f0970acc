import { type Http2Session, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { LogLine } from '@heddle/tailnet/types';
import { encodeMapMessage } from './map-frame.ts';
import { readMapRequest } from './map-request.ts';
import { buildNetmap, type TailnetSettings } from './map-response.ts';
import { MapStream } from './map-stream.ts';
import type { NodeChange, NodeRegistry } from './node-registry.ts';
import type { NoiseConnection } from './noise-upgrade.ts';
import { type Registration, readRegisterRequest } from './registration.ts';

/** Lowest capability version served. docs/spec/lab.md#versions */
export const CAPABILITY_VERSION_MIN = 68;

const REQUEST_BYTES_MAX = 128 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;
const HTTP_STREAM_COUNT_MAX = 64;
/** Open long polls of one node; one more ends its oldest. */
const MAP_STREAM_COUNT_MAX = 4;

export interface MachineApiOptions {
  readonly nodes: NodeRegistry;
  readonly registration: Registration;
  readonly settings: () => TailnetSettings;
  readonly keepAliveMs: number;
  readonly log: (line: LogLine) => void;
}

/** The requests that machines make inside their Noise connections: registration and the netmap. */
export class MachineApi {
  readonly #options: MachineApiOptions;
  readonly #sessions = new Set<Http2Session>();
  readonly #streams = new Set<MapStream>();

  constructor(options: MachineApiOptions) {
    this.#options = options;
  }

  /** Serves HTTP/2 on the connection until it ends. Takes it. */
  serve(connection: NoiseConnection): void {
    const session = performServerHandshake(connection.stream, {
      settings: { maxConcurrentStreams: HTTP_STREAM_COUNT_MAX },
    });
    this.#sessions.add(session);
    const log = (error: Error) => this.#log('debug', 'connection failed', { error: error.message });
    session.on('error', log);
    connection.stream.on('error', log);
    session.on('close', () => {
      this.#sessions.delete(session);
      connection.stream.destroy();
    });
    session.on('stream', (stream, headers) => {
      stream.on('error', log);
      this.#answer(connection, stream, `${headers[':method']} ${headers[':path']}`).catch((error: Error) => {
        log(error);
        stream.destroy();
      });
    });
  }

  /** Tells every open netmap. To be called for each change of the registry. */
  noteChange(nodeId: number, change: NodeChange): void {
    for (const stream of this.#streams) stream.noteChange(nodeId, change);
  }

  noteNewFilter(): void {
    for (const stream of this.#streams) stream.noteNewFilter();
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
    for (const session of this.#sessions) session.destroy();
  }

  async #answer(connection: NoiseConnection, stream: ServerHttp2Stream, target: string): Promise<void> {
    const answer = this.#route(target);
    if (answer === undefined) {
      respond(stream, 404, 'no such endpoint');
      return;
    }
    const body = await readBody(stream);
    const json = body === undefined ? undefined : parseJson(body);
    if (!stream.destroyed) await answer(connection, stream, json);
  }

  #route(target: string): ((c: NoiseConnection, s: ServerHttp2Stream, json: unknown) => Promise<void>) | undefined {
    if (target === 'POST /machine/register') return (c, s, json) => this.#register(c, s, json);
    if (target === 'POST /machine/map') return async (c, s, json) => this.#map(c, s, json);
    return undefined;
  }

  async #register(connection: NoiseConnection, stream: ServerHttp2Stream, json: unknown): Promise<void> {
    const request = readRegisterRequest(json);
    if (request === undefined || request.capabilityVersion < CAPABILITY_VERSION_MIN) {
      respond(stream, 400, request === undefined ? 'malformed request' : 'unsupported client version');
      return;
    }
    const gone = new AbortController();
    stream.once('close', () => gone.abort());
    const response = await this.#options.registration.register(connection.machineKey, request, gone.signal);
    if (response === undefined || stream.destroyed) return;
    this.#log('debug', 'registration answered', {
      hostname: request.hostinfo.hostname,
      isAuthorized: response.MachineAuthorized,
      error: response.Error,
    });
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify(response));
  }

  #map(connection: NoiseConnection, stream: ServerHttp2Stream, json: unknown): void {
    const { nodes, settings } = this.#options;
    const request = readMapRequest(json);
    if (request === undefined || request.capabilityVersion < CAPABILITY_VERSION_MIN) {
      respond(stream, 400, request === undefined ? 'malformed request' : 'unsupported client version');
      return;
    }
    const node = nodes.byNodeKey(request.nodeKey);
    // A key of another machine is as unknown as one that nobody has.
    if (node === undefined || node.machineKey !== connection.machineKey) {
      respond(stream, 404, 'node not found');
      return;
    }
    if (request.update !== undefined) nodes.update(node.id, request.update);
    stream.respond({ ':status': 200 });
    if (request.shape === 'update') stream.end();
    else if (request.shape === 'once') {
      const viewer = nodes.byId(node.id) ?? node;
      stream.end(encodeMapMessage(buildNetmap(viewer, nodes, settings(), request.isOmittingPeers), request.isZstd));
    } else this.#openStream(node.id, stream, request);
  }

  #openStream(
    nodeId: number,
    output: ServerHttp2Stream,
    { isZstd, isOmittingPeers }: { readonly isZstd: boolean; readonly isOmittingPeers: boolean },
  ): void {
    const { nodes, settings, keepAliveMs } = this.#options;
    const ofNode = [...this.#streams].filter((stream) => stream.nodeId === nodeId);
    if (ofNode.length >= MAP_STREAM_COUNT_MAX) ofNode[0]?.close();
    const stream = new MapStream({ nodeId, nodes, settings, output, isZstd, isOmittingPeers, keepAliveMs });
    output.once('close', () => {
      stream.close();
      if (this.#streams.delete(stream)) nodes.countStream(nodeId, -1);
    });
    nodes.countStream(nodeId, 1);
    this.#streams.add(stream);
    stream.start();
  }

  #log(level: LogLine['level'], message: string, fields: NonNullable<LogLine['fields']>): void {
    this.#options.log({ level, message, fields });
  }
}

function respond(stream: ServerHttp2Stream, status: number, text: string): void {
  stream.respond({ ':status': status, 'content-type': 'text/plain' });
  // A request whose body was too long is still coming: it is not read to its end.
  stream.end(text, () => stream.close());
}

/** The request body; `undefined` when it is too long or does not come. */
async function readBody(stream: ServerHttp2Stream): Promise<Buffer | undefined> {
  stream.setTimeout(REQUEST_TIMEOUT_MS, () => stream.destroy());
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    length += (chunk as Buffer).length;
    if (length > REQUEST_BYTES_MAX) return undefined;
    chunks.push(chunk as Buffer);
  }
  stream.setTimeout(0);
  return Buffer.concat(chunks);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
