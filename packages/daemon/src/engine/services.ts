import type { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { JoinOptions, LogLine, TailnetNode, TailnetState } from '@heddle/tailnet/types';

/** The node an engine runs: `Tailnet`, or a fake in tests. */
export interface EngineNode extends TailnetNode {
  /** Begins to join; failures arrive as the state `error`. */
  start(): void;
  onState(listener: (state: TailnetState) => void): () => void;
}

/** Makes a node that is not started yet. */
export type NodeFactory = (options: JoinOptions) => EngineNode;

/** `host:port` in parts. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** From one end to the other: local to tailnet for a forward, tailnet to local for a serve. */
export interface RelaySpec {
  /** Of a serve only the port counts. */
  readonly listen: HostPort;
  readonly target: HostPort;
}

export interface ProxyOptions {
  readonly listen: HostPort;
  readonly user: string | undefined;
  readonly token: string | undefined;
  readonly log: (line: LogLine) => void;
}

export interface RunningProxy {
  /** `host:port` it listens at. */
  readonly address: string;
  recentConnections(max: number): readonly object[];
  close(): Promise<void>;
}

export interface RunningRelay {
  close(): Promise<void>;
}

/** What an engine offers beside the node. Each rejects with a {@link TailnetError} when its port is taken. */
export interface ProxyServices {
  startProxy(node: TailnetNode, options: ProxyOptions): Promise<RunningProxy>;
  startForward(node: TailnetNode, spec: RelaySpec, log: (line: LogLine) => void): Promise<RunningRelay>;
  /** Needs a running node. */
  startServe(node: TailnetNode, spec: RelaySpec, log: (line: LogLine) => void): Promise<RunningRelay>;
}
