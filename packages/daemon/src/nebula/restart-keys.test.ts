import { describe, expect, it } from 'vitest';
import { needsRestart, RESTART_KEYS } from './restart-keys.ts';

const OLD = { major: 1, minor: 6, patch: 1 };
const NEW = { major: 1, minor: 11, patch: 1 };

/** Of local-daemon measurements: taken over by SIGHUP in both versions, and only in the newer one. */
const RELOADED_BY_ALL = [
  'pki.ca',
  'pki.cert',
  'pki.key',
  'logging.level',
  'logging.format',
  'firewall.inbound',
  'firewall.outbound',
  'listen.send_recv_error',
  'listen.read_buffer',
  'listen.write_buffer',
  'lighthouse.hosts',
  'lighthouse.interval',
  'lighthouse.advertise_addrs',
  'lighthouse.remote_allow_list',
  'static_host_map.10',
  'relay.relays',
  'punchy.punch',
  'sshd.enabled',
];
const RELOADED_SINCE = [
  ['pki.disconnect_invalid', 8],
  ['tun.mtu', 9],
  ['tun.routes', 9],
  ['tun.unsafe_routes', 9],
  ['preferred_ranges', 9],
  ['tunnels.inactivity_timeout', 10],
  ['stats.listen', 11],
  ['pki.blocklist', 11],
  ['pki.initiating_version', 11],
  ['logging.disable_timestamp', 11],
  ['listen.accept_recv_error', 11],
  ['listen.so_mark', 11],
  ['static_map.cadence', 11],
  ['counters.try_promote', 11],
  ['timers.requery_wait_duration', 11],
  ['firewall.inbound_action', 11],
] as const;
const RELOADED_BY_NONE = [
  'tun.dev',
  'tun.disabled',
  'tun.tx_queue',
  'listen.host',
  'listen.port',
  'listen.batch',
  'cipher',
  'routines',
  'lighthouse.am_lighthouse',
  'handshakes.retries',
  'timers.connection_alive_interval',
  'local_range',
  'something.unknown',
];

function textWith(key: string, value: unknown): string {
  const [section = '', name] = key.split('.');
  return JSON.stringify(name === undefined ? { [section]: value } : { [section]: { [name]: value } });
}

describe('a change of', () => {
  it.each(RELOADED_BY_ALL)('%s needs no restart', (key) => {
    expect(needsRestart(textWith(key, 1), textWith(key, 2), OLD)).toEqual([]);
    expect(needsRestart('{}', textWith(key, 2), undefined)).toEqual([]);
  });

  it.each(RELOADED_SINCE)('%s needs none since 1.%i', (key, minor) => {
    expect(needsRestart(textWith(key, 1), textWith(key, 2), { major: 1, minor: minor - 1, patch: 9 })).toEqual([key]);
    expect(needsRestart(textWith(key, 1), textWith(key, 2), { major: 1, minor, patch: 0 })).toEqual([]);
    expect(needsRestart(textWith(key, 1), textWith(key, 2), undefined)).toEqual([key]);
  });

  it.each(RELOADED_BY_NONE)('%s needs a restart', (key) => {
    expect(needsRestart(textWith(key, 1), textWith(key, 2), NEW)).toEqual([key]);
    expect(needsRestart(textWith(key, 1), '{}', NEW)).toEqual([key]);
    expect(needsRestart('{}', textWith(key, 1), NEW)).toEqual([key]);
    expect(needsRestart(textWith(key, [1, { a: 2 }]), textWith(key, [1, { a: 2 }]), NEW)).toEqual([]);
  });

  it('several names all that need it, in order', () => {
    const before = { tun: { dev: 'a', mtu: 1300 }, cipher: 'aes', punchy: { punch: true } };
    const after = { punchy: { punch: false }, cipher: 'chachapoly', tun: { mtu: 1400, dev: 'b' } };
    expect(needsRestart(JSON.stringify(before), JSON.stringify(after), NEW)).toEqual(['cipher', 'tun.dev']);
    expect(needsRestart(JSON.stringify(before), JSON.stringify(after), OLD)).toEqual(['cipher', 'tun.dev', 'tun.mtu']);
  });

  it('nothing but order and absent values needs none', () => {
    const before = '{"tun":{"dev":"a","tx_queue":null},"cipher":"aes","routines":null}';
    expect(needsRestart(before, '{"cipher":"aes","tun":{"dev":"a"}}', OLD)).toEqual([]);
  });

  it('text that is no configuration counts as empty', () => {
    expect(needsRestart('broken', '[]', OLD)).toEqual([]);
    expect(needsRestart('broken', '{"cipher":"aes"}', OLD)).toEqual(['cipher']);
  });
});

it('the published list is of keys that no version takes over', () => {
  expect(RESTART_KEYS).toEqual([
    'cipher',
    'handshakes',
    'lighthouse.am_lighthouse',
    'listen',
    'local_range',
    'routines',
    'timers',
    'tun',
  ]);
  for (const key of RESTART_KEYS) expect(needsRestart('{}', textWith(key, 'x'), NEW)).toEqual([key]);
});
