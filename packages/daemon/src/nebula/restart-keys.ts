/** Which changes of a rendered configuration a running Nebula takes over at SIGHUP, and which it ignores silently. */

import { isDeepStrictEqual } from 'node:util';
import { isAtLeast, type NebulaVersion } from './version.ts';
import { isPlainMap, type PlainMap } from './yaml-text.ts';

/** `always`, never, or since that version. */
type Reload = 'always' | 'never' | readonly [major: number, minor: number];

/**
 * Sections, and keys that differ from their section. Measured with 1.6.1 and, each key changed alone, with 1.11.1;
 * the versions between are from Nebula's change log. What is not here counts as never: a restart always applies it.
 */
const RELOADS: Readonly<Record<string, Reload>> = {
  cipher: 'never',
  counters: [1, 11],
  firewall: 'always',
  'firewall.inbound_action': [1, 11],
  'firewall.outbound_action': [1, 11],
  handshakes: 'never',
  lighthouse: 'always',
  'lighthouse.am_lighthouse': 'never',
  listen: 'never',
  'listen.accept_recv_error': [1, 11],
  'listen.read_buffer': 'always',
  'listen.send_recv_error': 'always',
  'listen.so_mark': [1, 11],
  'listen.write_buffer': 'always',
  local_range: 'never',
  logging: 'always',
  'logging.disable_timestamp': [1, 11],
  pki: 'always',
  'pki.blocklist': [1, 11],
  'pki.disconnect_invalid': [1, 8],
  'pki.initiating_version': [1, 11],
  preferred_ranges: [1, 9],
  punchy: 'always',
  relay: 'always',
  routines: 'never',
  sshd: 'always',
  static_host_map: 'always',
  static_map: [1, 11],
  stats: [1, 11],
  timers: 'never',
  'timers.requery_wait_duration': [1, 11],
  tun: 'never',
  'tun.mtu': [1, 9],
  'tun.routes': [1, 9],
  'tun.unsafe_routes': [1, 9],
  tunnels: [1, 10],
};

/** The keys and sections that no known version takes over while it runs. */
export const RESTART_KEYS: readonly string[] = Object.keys(RELOADS).filter((key) => RELOADS[key] === 'never');

/**
 * The keys that differ and need a stop and a start, sorted; empty when SIGHUP is enough. The files that `pki` names are
 * not looked at: a certificate with other networks needs a restart too.
 *
 * @param before What {@link renderConfig} gave for the running process; `after` for the next. Text that is not such
 *   JSON counts as an empty configuration.
 * @param version Of the running process; undefined counts as the oldest.
 */
export function needsRestart(before: string, after: string, version: NebulaVersion | undefined): string[] {
  const [old, next] = [keysOf(before), keysOf(after)];
  return [...new Set([...old.keys(), ...next.keys()])]
    .filter((key) => !isDeepStrictEqual(old.get(key), next.get(key)))
    .filter((key) => !isReloadable(key, version))
    .sort();
}

function isReloadable(key: string, version: NebulaVersion | undefined): boolean {
  const [section = ''] = key.split('.');
  const reload = lookUp(key) ?? lookUp(section) ?? 'never';
  if (typeof reload === 'string') return reload === 'always';
  return version !== undefined && isAtLeast(version, reload[0], reload[1]);
}

function lookUp(key: string): Reload | undefined {
  return Object.hasOwn(RELOADS, key) ? RELOADS[key] : undefined;
}

/** `section.key`, or just the section when it has no keys. A null value is an absent one. */
function keysOf(rendered: string): Map<string, unknown> {
  const keys = new Map<string, unknown>();
  for (const [section, value] of Object.entries(parseMap(rendered))) {
    if (!isPlainMap(value)) {
      if (value !== null) keys.set(section, value);
      continue;
    }
    for (const [key, item] of Object.entries(value)) if (item !== null) keys.set(`${section}.${key}`, item);
  }
  return keys;
}

function parseMap(text: string): PlainMap {
  try {
    const value: unknown = JSON.parse(text);
    return isPlainMap(value) ? value : {};
  } catch {
    return {};
  }
}
