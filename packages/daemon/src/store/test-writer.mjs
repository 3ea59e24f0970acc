// The process that the tests kill. kill.test.ts bundles it from source, because Node.js 20 runs no TypeScript.
// Every line it prints is out before the next step begins.
//
//   write PATH    commits 1, 2, 3, … after what it found, and prints `ack N` after each
//   restore PATH  replaces the database by the dump of N + 1, N + 2, …, and prints `ack N` after each
//   hold PATH     opens and waits
//
// All print `opening`, then `found JSON`: what the records say after opening, or `failed CODE`.

import { writeSync } from 'node:fs';
import { dumpStore, restoreStore } from './dump.ts';
import { StateStore } from './state-store.ts';

const [mode, path] = process.argv.slice(2);
const deps = { unixMs: () => 1, randomId: () => 'test' };
const print = (line) => writeSync(1, `${line}\n`);

/** Enough that the log of LevelDB is full after some hundred commits, and tables are written. */
const networks = Array.from({ length: 200 }, (_, i) => `10.${i}.0.0/24`);
const TEAM_COUNT = 5;

const LINK_COUNT = 3;

const linkOf = (n) => `link${n % LINK_COUNT}`;
const tunOf = (n) => {
  const fields = { kind: 'tun', address: '10.0.0.1', prefixBits: 24, mtu: 1500, isPersistent: true };
  return { ...fields, name: linkOf(n), mark: n, createdUnixMs: 1 };
};
const subnetOf = (n) => {
  const fields = { kind: 'subnet', address: '10.1.0.1', link: 'dummy0', linkKind: 'dummy', mtu: 1500 };
  return { ...fields, cidr: '10.1.0.0/24', mark: n, createdUnixMs: 1 };
};

/**
 * Says the same number in several records of all kinds, so that a torn batch shows. It ends what the journal announces:
 * a TUN device is made.
 */
function changeOf(n) {
  const base = { kind: 'nebula', configPath: '/c', desired: 'up', isAutostart: true, networks, createdUnixMs: 1 };
  const runtime = { startMark: '1-a', bootId: 'a', state: 'up', sinceUnixMs: n, restarts: n };
  return [
    { kind: 'put-team', team: { ...base, name: 'left', updatedUnixMs: n } },
    { kind: 'put-team', team: { ...base, name: 'right', updatedUnixMs: n } },
    { kind: 'delete-team', name: `t${(n - 1) % TEAM_COUNT}` },
    { kind: 'put-team', team: { ...base, name: `t${n % TEAM_COUNT}`, updatedUnixMs: n } },
    { kind: 'put-runtime', runtime: { ...runtime, team: 'left', pid: 1 } },
    { kind: 'set-active-team', name: `t${n % TEAM_COUNT}` },
    { kind: 'delete-interface', key: `tun/${linkOf(n - 1)}` },
    { kind: 'put-interface', record: tunOf(n) },
    { kind: 'put-interface', record: subnetOf(n) },
    { kind: 'delete-journal', key: `tun/${linkOf(n)}` },
  ];
}

function describe(store) {
  const teams = store.teams().map(({ name, updatedUnixMs }) => [name, updatedUnixMs]);
  return {
    teams,
    active: store.activeTeam,
    restarts: store.runtime('left')?.restarts,
    interfaces: store.interfaces().map((record) => [record.name ?? record.cidr, record.mark]),
    tail: store.runtime('tail')?.restarts,
    journal: store.journal().map(({ record }) => [record.name, record.mark]),
  };
}

async function write(store) {
  for (let n = (store.team('left')?.updatedUnixMs ?? 0) + 1; ; n++) {
    await store.commit(changeOf(n));
    print(`ack ${n}`);
    const runtime = { team: 'tail', pid: 1, startMark: '', bootId: '', state: 'up', sinceUnixMs: 1, restarts: n };
    await store.commit([
      { kind: 'put-runtime', runtime },
      { kind: 'put-journal', entry: { intent: 'make', record: tunOf(n + 1) } },
    ]);
    print(`tail ${n}`);
  }
}

async function restore(store) {
  const dump = JSON.parse(dumpStore(store));
  const found = store.team('left')?.updatedUnixMs ?? 0;
  await store.close();
  for (let n = found + 1; ; n++) {
    await restoreStore(path, JSON.stringify(dumpOf(dump, n)), deps);
    print(`ack ${n}`);
  }
}

function dumpOf(dump, n) {
  const teams = changeOf(n).flatMap((item) => (item.kind === 'put-team' ? [item.team] : []));
  const runtimes = changeOf(n).flatMap((item) => (item.kind === 'put-runtime' ? [item.runtime] : []));
  return { ...dump, activeTeam: `t${n % TEAM_COUNT}`, teams, runtimes, interfaces: [tunOf(n), subnetOf(n)] };
}

print('opening');
try {
  const store = await StateStore.open(path, deps);
  print(`found ${JSON.stringify(describe(store))}`);
  if (mode === 'write') await write(store);
  if (mode === 'restore') await restore(store);
  if (mode === 'hold') setInterval(() => {}, 1000);
} catch (error) {
  print(`failed ${error.code ?? error}`);
  process.exitCode = 1;
}
