/** Connections that are remembered; older ones are forgotten. */
const CONNECTION_COUNT_MAX = 256;

export type ConnectionKind = 'socks5' | 'socks5-udp' | 'http-connect' | 'http';

/** One connection, or one request of plain HTTP, that went through a proxy. */
export interface ConnectionRecord {
  readonly kind: ConnectionKind;
  /** `host:port` as the client asked for it. */
  readonly target: string;
  readonly startedUnixMs: number;
  /** Until the end, or until now while it is open. */
  readonly durationMs: number;
  /** Payload bytes from the client; of plain HTTP the request's body. */
  readonly sentBytes: number;
  /** Payload bytes to the client; of plain HTTP the response's body. */
  readonly receivedBytes: number;
  /** `open`, `closed` in order, `reset` by either end, or the code of the {@link TailnetError} that prevented it. */
  readonly outcome: string;
}

/** An entry of the log while its connection lives. */
export class OpenConnection {
  readonly kind: ConnectionKind;
  readonly startedUnixMs: number = Date.now();
  target: string;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #startedAtMs = performance.now();
  #durationMs: number | undefined;
  #outcome = 'open';

  constructor(kind: ConnectionKind, target: string) {
    this.kind = kind;
    this.target = target;
  }

  /** The first outcome stays. */
  finish(outcome: string): void {
    if (this.#durationMs !== undefined) return;
    this.#durationMs = performance.now() - this.#startedAtMs;
    this.#outcome = outcome;
  }

  snapshot(): ConnectionRecord {
    const { kind, target, startedUnixMs, sentBytes, receivedBytes } = this;
    const durationMs = Math.round(this.#durationMs ?? performance.now() - this.#startedAtMs);
    return { kind, target, startedUnixMs, durationMs, sentBytes, receivedBytes, outcome: this.#outcome };
  }
}

/** The last {@link CONNECTION_COUNT_MAX} connections of a proxy, open ones among them. */
export class ConnectionLog {
  readonly #ring: OpenConnection[] = [];
  #next = 0;

  open(kind: ConnectionKind, target: string): OpenConnection {
    const connection = new OpenConnection(kind, target);
    this.#ring[this.#next] = connection;
    this.#next = (this.#next + 1) % CONNECTION_COUNT_MAX;
    return connection;
  }

  /** The newest first. */
  recent(max: number): readonly ConnectionRecord[] {
    const newestFirst = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].reverse();
    return newestFirst.slice(0, Math.max(0, max)).map((connection) => connection.snapshot());
  }
}
