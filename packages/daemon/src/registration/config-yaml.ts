import { parseDocument } from 'yaml';

/** What this room reads of a Nebula configuration. */
export interface ConfigListen {
  /** Empty where the configuration names none. */
  readonly host: string;
  /** 0 where the system chooses, as where the configuration names none. */
  readonly port: number;
}

/** Aliases multiply: a small text with many of them could become an endless value. */
const ALIAS_COUNT_MAX = 50;

/**
 * Reads a configuration; `undefined` when it is no YAML mapping or an empty one. Nothing of why is told: the parser
 * quotes its input, and the input holds the private key.
 */
export function parseConfigYaml(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const document = parseDocument(text, { logLevel: 'silent', prettyErrors: false });
    if (document.errors.length > 0) return undefined;
    const value: unknown = document.toJS({ maxAliasCount: ALIAS_COUNT_MAX });
    return isMapping(value) && Object.keys(value).length > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The `listen` section; `undefined` when it cannot be read. */
export function readListen(text: string): ConfigListen | undefined {
  const config = parseConfigYaml(text);
  if (config === undefined) return undefined;
  const listen = config['listen'] ?? {};
  if (!isMapping(listen)) return undefined;
  const port = Number(listen['port'] ?? 0);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return undefined;
  return { host: typeof listen['host'] === 'string' ? listen['host'] : '', port };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
