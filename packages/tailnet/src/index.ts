export { Tailnet } from './tailnet.ts';
export { TailnetError } from './tailnet-error.ts';
export type {
  JoinOptions,
  LogLine,
  PeerPath,
  PeerStatus,
  PingResult,
  TailnetConnection,
  TailnetListener,
  TailnetNode,
  TailnetState,
  TailnetStatus,
  TailnetUdpSocket,
} from './types.ts';
