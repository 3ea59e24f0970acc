import { flag, integerOf, listOf, number, objectOf, oneOf, optional, type Shape, taggedBy, text } from './shape.ts';

/** What `heddle connect` hands to the engine over its standard input: one JSON line, the only way secrets travel. */
export interface EngineConfig {
  readonly context: string;
  readonly socketPath: string;
  readonly stateDir: string;
  /** Where standard output and error go; undefined in the foreground. */
  readonly logPath?: string | undefined;
  readonly controlUrl: string;
  readonly authKey?: string | undefined;
  readonly hostname?: string | undefined;
  /** PEM text. */
  readonly tlsCa?: string | undefined;
  readonly udpPort?: number | undefined;
  readonly isUdpEnabled?: boolean | undefined;
  readonly acceptsRoutes?: boolean | undefined;
  /** `host:port`, or {@link PROXY_OFF}. */
  readonly proxy: string;
  readonly proxyUser?: string | undefined;
  readonly proxyToken?: string | undefined;
  /** `listen host:listen port:peer:port`. */
  readonly forwards: readonly string[];
  /** `tailnet port:host:port`. */
  readonly serves: readonly string[];
  readonly isVerbose: boolean;
  /** True for the engine of a team: its supervisor limits what clients ask. */
  readonly isSupervised?: boolean | undefined;
}

/** The engine's first line on descriptor 3. The events of its way to `running` follow if `ok`, see `event.ts`. */
export type StartReport =
  | { readonly ok: true; readonly pid: number }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** Instead of the address of a proxy. */
export const PROXY_OFF = 'off';

/** Longest config line; a PEM bundle of a whole trust store fits. */
export const CONFIG_BYTES_MAX = 1_048_576;

export const engineConfigShape: Shape<EngineConfig> = objectOf({
  context: text,
  socketPath: text,
  stateDir: text,
  logPath: optional(text),
  controlUrl: text,
  authKey: optional(text),
  hostname: optional(text),
  tlsCa: optional(text),
  udpPort: optional(integerOf(0, 65_535)),
  isUdpEnabled: optional(flag),
  acceptsRoutes: optional(flag),
  proxy: text,
  proxyUser: optional(text),
  proxyToken: optional(text),
  forwards: listOf(text),
  serves: listOf(text),
  isVerbose: flag,
  isSupervised: optional(flag),
});

export const startReportShape: Shape<StartReport> = taggedBy<StartReport>('ok', {
  true: objectOf({ ok: oneOf([true]), pid: number }),
  false: objectOf({ ok: oneOf([false]), code: text, message: text }),
});
