import { z } from 'zod';

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
  /** `host:port`, or {@link PROXY_OFF}. */
  readonly proxy: string;
  readonly proxyUser?: string | undefined;
  readonly proxyToken?: string | undefined;
  /** `listen host:listen port:peer:port`. */
  readonly forwards: readonly string[];
  /** `tailnet port:host:port`. */
  readonly serves: readonly string[];
  readonly isVerbose: boolean;
}

/** The engine's first words, on descriptor 3: one JSON line. */
export type StartReport =
  | { readonly ok: true; readonly pid: number }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** Instead of the address of a proxy. */
export const PROXY_OFF = 'off';

/** Longest config line; a PEM bundle of a whole trust store fits. */
export const CONFIG_BYTES_MAX = 1_048_576;

export const engineConfigSchema: z.ZodType<EngineConfig> = z.object({
  context: z.string(),
  socketPath: z.string(),
  stateDir: z.string(),
  logPath: z.string().optional(),
  controlUrl: z.string(),
  authKey: z.string().optional(),
  hostname: z.string().optional(),
  tlsCa: z.string().optional(),
  udpPort: z.number().int().min(0).max(65_535).optional(),
  isUdpEnabled: z.boolean().optional(),
  proxy: z.string(),
  proxyUser: z.string().optional(),
  proxyToken: z.string().optional(),
  forwards: z.array(z.string()),
  serves: z.array(z.string()),
  isVerbose: z.boolean(),
});

export const startReportSchema: z.ZodType<StartReport> = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), pid: z.number() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
]);
