/**
 * The configuration a Nebula process is really started with: the user's whole file with our values put in.
 *
 * One complete file, never a drop-in: when Nebula merges files, `false`, `0` and empty values of a later one do not
 * override an earlier one. JSON is valid YAML, so no YAML has to be written.
 */

import type { PemSource, UserConfig } from './user-config.ts';
import { isPlainMap, type PlainMap } from './yaml-text.ts';

export interface ConfigOverrides {
  /** Unique on this machine and at most 15 bytes: Nebula cuts longer names silently. */
  readonly device: string;
  /** 0 is any free port. Not applied to a lighthouse, which others find by its port. */
  readonly listenPort: number;
  readonly logFormat: 'json' | 'text';
}

/** JSON text. It may hold the private key: write it with mode 0600, never log it. */
export function renderConfig(config: UserConfig, overrides: ConfigOverrides): string {
  const { root, pki, isLighthouse, listen } = config;
  const rendered = {
    ...root,
    pki: { ...section(root, 'pki'), ...textsOf(pki) },
    listen: { ...section(root, 'listen'), port: isLighthouse ? listen.port : overrides.listenPort },
    tun: { ...section(root, 'tun'), dev: overrides.device },
    // With more than one, two processes can share device and port, and split the traffic at random.
    routines: 1,
    logging: renderLogging(root, overrides.logFormat),
    // From 1.12 on a control socket at one fixed path for all processes is on by default.
    local_api: renderLocalApi(root),
  };
  return toYamlSafeJson(rendered);
}

function section(root: PlainMap, name: string): PlainMap {
  const value = Object.hasOwn(root, name) ? root[name] : undefined;
  return isPlainMap(value) ? value : {};
}

function textsOf(pki: UserConfig['pki']): PlainMap {
  const texts: [string, string][] = [];
  for (const [name, source] of Object.entries(pki) as [string, PemSource][]) {
    if (source.kind === 'file') texts.push([name, source.path]);
  }
  return Object.fromEntries(texts);
}

// Lines are read by this daemon, which needs the time in the form each version writes by itself.
function renderLogging(root: PlainMap, format: string): PlainMap {
  const { timestamp_format: _format, disable_timestamp: _disable, ...logging } = section(root, 'logging');
  return { ...logging, format };
}

function renderLocalApi(root: PlainMap): PlainMap {
  const localApi = section(root, 'local_api');
  return { ...localApi, control: { ...section(localApi, 'control'), enabled: false } };
}

// JSON allows these characters as they are, YAML 1.1 does not.
function toYamlSafeJson(value: unknown): string {
  const text = JSON.stringify(value, undefined, 2);
  return `${text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}

const UNSAFE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;
