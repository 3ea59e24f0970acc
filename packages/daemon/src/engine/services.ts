import type { ForwardSpec, ServeSpec } from '@heddle/tailnet/proxy/listen-spec';
import type { JoinOptions, LogLine, TailnetNode, TailnetState } from '@heddle/tailnet/types';

/** The node an engine runs: `Tailnet`, or a fake in tests. */
export interface EngineNode extends TailnetNode {
  /** Begins to join; failures arrive as the state `error`. */
  start(): void;
  onState(listener: (state: TailnetState) => void): () => void;
}

/** Makes a node that is not started yet. */
export type NodeFactory = (options: JoinOptions) => EngineNode;

export interface ProxyOptions {
  /** `127.0.0.1:16579`. */
  readonly listen: string;
  readonly user?: string | undefined;
  readonly token?: string | undefined;
  readonly log: (line: LogLine) => void;
}

export interface RunningProxy {
  /** `host:port` it listens at. */
  readonly address: string;
  /** The newest first. */
  recentConnections(max: number): readonly object[];
  close(): Promise<void>;
}

export interface RunningRelay {
  close(): Promise<void> | void;
}

/** What an engine offers beside the node. Each rejects with a TailnetError when its port is taken. */
export interface ProxyServices {
  startProxy(node: TailnetNode, options: ProxyOptions): Promise<RunningProxy>;
  startForward(node: TailnetNode, spec: ForwardSpec, log: (line: LogLine) => void): Promise<RunningRelay>;
  /** Needs a running node. */
  startServe(node: TailnetNode, spec: ServeSpec, log: (line: LogLine) => void): Promise<RunningRelay> | RunningRelay;
}

/** What is heavy to load: the whole tailnet. */
export interface EngineParts {
  readonly createNode: NodeFactory;
  readonly services: ProxyServices;
}
