import type { Duplex } from 'node:stream';

/** What `Tailnet.join` takes. Every path may be relative to the working directory. */
export interface JoinOptions {
  /** `https://headscale.example.com` or `http://127.0.0.1:8080`; no path. */
  readonly controlUrl: string;
  /** Pre-auth key. Without one an unknown node goes to `needs_login`. Never logged. */
  readonly authKey?: string | undefined;
  /** Becomes the MagicDNS name; default the machine's. */
  readonly hostname?: string | undefined;
  /** Folder of the keys, made 0700 when missing. Without one the node is new at every join. */
  readonly stateDir?: string | undefined;
  /** PEM of an additional CA, for the coordination server and the relays. */
  readonly tlsCa?: string | undefined;
  /** Local UDP port for direct paths; default 0, any. */
  readonly udpPort?: number | undefined;
  /** False carries everything by relay. Default true. */
  readonly isUdpEnabled?: boolean | undefined;
  /** True reaches the subnets that peers serve. Default false; exit nodes (a route to everything) are never used. */
  readonly acceptsRoutes?: boolean | undefined;
  /** Cancels the join; `close()` ends a joined node. */
  readonly signal?: AbortSignal | undefined;
  /** One line at a time, already redacted. Default: nowhere. */
  readonly log?: ((line: LogLine) => void) | undefined;
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}

/** The life of a node. `error` is final until the node is joined again. */
export type TailnetState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'needs_login'; readonly authUrl: string }
  | { readonly kind: 'handshaking' }
  | { readonly kind: 'registering' }
  | {
      readonly kind: 'running';
      readonly addresses: readonly string[];
      readonly peerCount: number;
      /** Region id of the home relay, 0 while none is chosen. */
      readonly derpHome: number;
    }
  | { readonly kind: 'reconnecting'; readonly attempt: number }
  | { readonly kind: 'shutting_down' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'error'; readonly message: string; readonly code: string };

export interface PeerPath {
  readonly kind: 'direct' | 'relay' | 'none';
  /** `1.2.3.4:41641` of a direct path, the region code of a relay. */
  readonly address?: string;
}

/** The home relay. */
export interface RelayStatus {
  readonly regionId: number;
  readonly code: string;
  readonly isConnected: boolean;
  /** Why it is not connected; undefined while it is, or was not tried. */
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

export interface PeerStatus {
  /** First label of the DNS name. */
  readonly name: string;
  /** Full name without the last dot. */
  readonly dnsName: string;
  readonly nodeKey: string;
  readonly addresses: readonly string[];
  readonly allowedIps: readonly string[];
  readonly online: boolean;
  readonly path: PeerPath;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Unix milliseconds, 0 for never. */
  readonly lastHandshakeUnixMs: number;
}

export interface TailnetStatus {
  readonly state: TailnetState;
  readonly name: string;
  readonly dnsName: string;
  readonly nodeKey: string;
  readonly controlUrl: string;
  readonly addresses: readonly string[];
  readonly peerCount: number;
  readonly relay: RelayStatus | undefined;
  readonly endpoints: readonly string[];
  readonly peers: readonly PeerStatus[];
  /** Silent drops and other events, counted by name. */
  readonly counters: Readonly<Record<string, number>>;
}

/** A TCP connection through the tailnet. Half-open is allowed; `destroy(error)` sends RST, `end()` sends FIN. */
export interface TailnetConnection extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface TailnetListener {
  readonly port: number;
  /** Stops accepting; accepted connections live on. */
  close(): void;
}

export interface PingResult {
  readonly address: string;
  readonly roundTripMs: number;
  readonly path: PeerPath;
}

/** UDP through the tailnet, IPv4 or IPv6. */
export interface TailnetUdpSocket {
  readonly port: number;
  /** False when a queue was full and the datagram was dropped. */
  send(data: Uint8Array, address: string, port: number): boolean;
  onMessage(listener: (data: Uint8Array, from: { readonly address: string; readonly port: number }) => void): void;
  close(): void;
}

/** What the proxies, the forwards and the engine need from a node: `Tailnet` is one. */
export interface TailnetNode {
  readonly status: () => TailnetStatus;
  /**
   * Opens a TCP connection to a name (short, full, or an address).
   * @throws {TailnetError} with code `dial/unknown-host`, `dial/no-route`, `dial/refused`, `dial/timeout`, `dial/closed`.
   */
  dial(
    host: string,
    port: number,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<TailnetConnection>;
  listen(port: number, onConnection: (connection: TailnetConnection) => void): TailnetListener;
  /** MagicDNS short or full name, or an address, to tailnet addresses; empty when unknown. */
  resolve(host: string): readonly string[];
  createUdpSocket(port?: number): TailnetUdpSocket;
  ping(host: string, options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<PingResult>;
  /** Resolves when the node has stopped and its sockets are closed. */
  close(): Promise<void>;
}
