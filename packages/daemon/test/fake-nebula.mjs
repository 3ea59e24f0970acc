#!/usr/bin/env node
/**
 * A program that behaves like Nebula 1.11 towards its supervisor, without a network. For tests only.
 *
 * `-version`, `-test -config FILE`, `-config FILE`; the file is the JSON the daemon renders. Beside the keys of Nebula
 * it knows a section `fake`, all of it optional:
 *
 * | key | effect |
 * |---|---|
 * | `errorLine` | text, or `{msg, error}`: logged as an error before the exit |
 * | `exitCode` | exit status of a start that fails, or after `exitAfterMs`; 1 when only `errorLine` is given |
 * | `exitAfterMs` | exits so long after the active line; without it, `exitCode` and `errorLine` end the start before it |
 * | `activeAfterMs` | delays the active line, as a slow name lookup does |
 * | `handlersAfterMs` | how late the signal handlers come, 20 by default; with 0 they are there before the active line |
 * | `ignoreTerm` | SIGTERM and SIGINT are logged, nothing else |
 * | `testErrorLine` | `-test` fails with it |
 * | `reloadErrorLine` | a reload fails with it |
 * | `device` | false: says active and never gets its device |
 * | `deviceFolder` | where a file named as the device stands for it, see below |
 * | `addresses` | CIDR texts, by default `["10.78.0.2/24"]` |
 *
 * The device: `deviceFolder/NAME` holds `{"pid": …, "addresses": […]}` while the process lives. A file whose process is
 * dead is no device (the kernel removes a device with its process). One whose process lives makes the start fail, busy.
 *
 * Environment: FAKE_NEBULA_VERSION (default 1.11.1), FAKE_NEBULA_CALLS (a file that gets a line of JSON per call).
 *
 * Like the real one: handlers come late, until then SIGHUP and SIGTERM kill; SIGTERM ends it within 20 ms with
 * `Goodbye` and status 0; SIGQUIT dumps and gives status 2; `-test` prints the whole configuration, keys included.
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';

const HANDLERS_AFTER_MS = 20;
const GOODBYE_AFTER_MS = 10;
const VERSION = process.env.FAKE_NEBULA_VERSION ?? '1.11.1';

let format = 'text';
let deviceFile;

const given = readArguments(process.argv.slice(2));
if (process.env.FAKE_NEBULA_CALLS !== undefined) {
  const call = { pid: process.pid, arguments: process.argv.slice(2), environment: Object.keys(process.env).sort() };
  appendFileSync(process.env.FAKE_NEBULA_CALLS, `${JSON.stringify(call)}\n`);
}
if (given.version) end(0, () => writeSync(1, `Version: ${VERSION}\n`));
if (given.config === undefined) end(1, () => log('ERROR', 'no default config found at /usr/bin/config.yaml'));
const config = load(given.config);
if (typeof config === 'string') end(1, () => writeSync(1, `failed to load config: ${config}`));
format = config.logging?.format ?? 'text';
if (given.test) test();
else start();

function readArguments(list) {
  const result = { version: false, test: false, config: undefined };
  for (let i = 0; i < list.length; i++) {
    const name = list[i].replace(/^--?/, '');
    if (name === 'version' || name === 'test') result[name] = true;
    else if (name === 'config') result.config = list[++i];
    else end(2, () => writeSync(2, `flag provided but not defined: -${name}\nUsage of nebula:\n`));
  }
  return result;
}

/** The configuration, or why it cannot be read. */
function load(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    return error.code === 'ENOENT'
      ? `open ${path}: no such file or directory`
      : 'yaml: line 1: did not find expected node content';
  }
}

function test() {
  log('INFO', JSON.stringify(config));
  const missing = findMissingPki();
  if (missing !== undefined) end(1, () => logLine(missing));
  if (config.fake?.testErrorLine !== undefined) end(1, () => logLine(config.fake.testErrorLine));
  end(0, () => {});
}

function findMissingPki() {
  for (const name of ['ca', 'key', 'cert']) {
    const msg = name === 'ca' ? 'Failed to load ca from config' : 'Could not load client cert';
    const path = config.pki?.[name];
    if (!path) return { msg, error: `no pki.${name} path or PEM data provided` };
    if (path.includes('-----BEGIN') || existsSync(path)) continue;
    return { msg, error: `unable to read pki.${name} file ${path}: open ${path}: no such file or directory` };
  }
  return undefined;
}

function start() {
  const fake = config.fake ?? {};
  const missing = findMissingPki();
  if (missing !== undefined) end(1, () => logLine(missing));
  log('INFO', 'Firewall started', { firewallHashes: 'SHA:0000,FNV:0' });
  takeDevice(fake);
  if (fake.exitAfterMs === undefined && (fake.errorLine !== undefined || fake.exitCode !== undefined)) fail(fake);
  log('INFO', 'listening', { addr: `${config.listen?.host ?? '0.0.0.0'}:${config.listen?.port ?? 0}` });
  log('INFO', 'Main HostMap created', { preferredRanges: null });
  log('INFO', 'punchy disabled');
  setTimeout(() => becomeActive(fake), fake.activeAfterMs ?? 0);
  setTimeout(() => {}, 2 ** 31 - 1); // Nothing else keeps the process alive.
}

function takeDevice({ device, deviceFolder }) {
  if (device === false || deviceFolder === undefined || config.tun?.disabled) return;
  const file = `${deviceFolder}/${config.tun.dev}`;
  if (isHeld(file)) {
    const error = `could not set tun device name: ${config.tun.dev} because device or resource busy`;
    end(1, () => logLine({ msg: 'Failed to get a tun/tap device', error }));
  }
  deviceFile = file;
}

function isHeld(file) {
  try {
    process.kill(JSON.parse(readFileSync(file, 'utf8')).pid, 0);
    return true;
  } catch {
    return false;
  }
}

function becomeActive(fake) {
  const handlersAfterMs = fake.handlersAfterMs ?? HANDLERS_AFTER_MS;
  if (handlersAfterMs === 0) installHandlers(fake);
  const networks = fake.addresses ?? ['10.78.0.2/24'];
  const port = config.listen?.port || 40_000 + (process.pid % 20_000);
  log('INFO', 'Nebula interface is active', {
    interface: config.tun?.disabled ? 'disabled' : config.tun?.dev,
    networks,
    build: VERSION,
    udpAddr: `${config.listen?.host ?? '0.0.0.0'}:${port}`,
    boringcrypto: false,
  });
  if (deviceFile !== undefined) writeFileSync(deviceFile, JSON.stringify({ pid: process.pid, addresses: networks }));
  if (handlersAfterMs > 0) setTimeout(() => installHandlers(fake), handlersAfterMs);
  if (fake.exitAfterMs !== undefined) setTimeout(() => fail(fake), fake.exitAfterMs);
}

function fail({ errorLine, exitCode }) {
  if (errorLine !== undefined) logLine(errorLine);
  end(exitCode ?? (errorLine === undefined ? 0 : 1), () => {});
}

function installHandlers({ ignoreTerm }) {
  for (const [signal, name] of [
    ['SIGTERM', 'terminated'],
    ['SIGINT', 'interrupt'],
  ]) {
    process.on(signal, () => {
      log('INFO', 'Caught signal, shutting down', { signal: name });
      if (ignoreTerm) return;
      setTimeout(() => {
        log('INFO', 'closed tun reader', { reader: 0 });
        end(0, () => log('INFO', 'Goodbye'));
      }, GOODBYE_AFTER_MS);
    });
  }
  process.on('SIGHUP', reload);
  process.on('SIGQUIT', () => end(2, () => writeSync(2, 'SIGQUIT: quit\n\ngoroutine 0 [idle]:\n')));
}

function reload() {
  log('INFO', 'Caught HUP, reloading config');
  const next = load(given.config);
  if (typeof next === 'string') {
    log('ERROR', 'Error occurred while reloading config', { config_path: given.config, error: next });
    return;
  }
  if (next.fake?.reloadErrorLine !== undefined) logLine(next.fake.reloadErrorLine);
  else log('INFO', 'Client certificate(s) refreshed from disk', { cert: [] });
}

function end(code, say) {
  say();
  if (deviceFile !== undefined) rmSync(deviceFile, { force: true });
  process.exit(code);
}

function logLine(line) {
  if (typeof line === 'string') log('ERROR', line);
  else log('ERROR', line.msg, line.error === undefined ? {} : { error: line.error });
}

function log(level, msg, fields = {}) {
  const record = { time: new Date().toISOString(), level, msg, ...fields };
  const text = format === 'json' ? JSON.stringify(record) : Object.entries(record).map(formatPair).join(' ');
  writeSync(1, `${text}\n`);
}

function formatPair([key, value]) {
  const text = Array.isArray(value) ? `[${value.join(' ')}]` : String(value);
  return `${key}=${/[\s"=]/.test(text) ? JSON.stringify(text) : text}`;
}
