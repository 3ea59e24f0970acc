// The command line with a node that only pretends: what it does is decided by the host name of the login server.

import { fileURLToPath } from 'node:url';
import { openStateDir } from '@heddle/tailnet/state/state-dir';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { runCli } from 'heddle/cli/program';

const RUNNING = { kind: 'running', addresses: ['100.64.0.2', 'fd7a:115c:a1e0::2'], peerCount: 2, derpHome: 900 };

class FakeNode {
  #options;
  #listeners = new Set();
  #state = { kind: 'starting' };
  #dir;

  constructor(options) {
    this.#options = options;
  }

  onState(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start() {
    try {
      this.#dir = openStateDir(this.#options.stateDir);
    } catch (error) {
      this.#go({ kind: 'error', code: error.code, message: error.message });
      return;
    }
    this.#go({ kind: 'connecting' });
    BEHAVIOUR[new URL(this.#options.controlUrl).hostname]?.((state) => this.#go(state), this.#options);
  }

  status() {
    const isRunning = this.#state.kind === 'running';
    return {
      state: this.#state,
      name: 'me',
      dnsName: 'me.lab.test',
      nodeKey: 'nodekey:0',
      controlUrl: this.#options.controlUrl,
      addresses: isRunning ? RUNNING.addresses : [],
      peerCount: 2,
      relay: undefined,
      endpoints: [],
      peers: [],
      counters: {},
    };
  }

  async close() {
    if (new URL(this.#options.controlUrl).hostname === 'stuck.test') await new Promise(() => {});
    this.#dir?.close();
  }

  #go(state) {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }
}

const BEHAVIOUR = {
  'ok.test': (go) => setTimeout(() => go(RUNNING), 20),
  'stuck.test': (go) => setTimeout(() => go(RUNNING), 20),
  'login.test': (go) => go({ kind: 'needs_login', authUrl: 'https://login.test/register/abc' }),
  'used-key.test': (go, { authKey, log }) => {
    log({ level: 'warn', message: `refused ${authKey}` });
    go({ kind: 'error', code: 'control/invalid-auth-key', message: 'The auth key was used' });
  },
  'no-network.test': (go, { log }) => {
    const message = 'Cannot reach http://no-network.test (ENETUNREACH)';
    setTimeout(() => log({ level: 'warn', message, fields: { code: 'control/unreachable' } }), 20);
    go({ kind: 'reconnecting', attempt: 1 });
  },
  'crash.test': () =>
    setTimeout(() => {
      throw new Error('boom');
    }, 20),
};

const services = {
  startProxy: async (_node, { listen }) => {
    if (listen.endsWith(':1')) throw new TailnetError('proxy/port-in-use', 'Port 1 is in use');
    return { address: listen, recentConnections: () => [], close: async () => {} };
  },
  startForward: async () => ({ close: async () => {} }),
  startServe: async () => ({ close: async () => {} }),
};

const interrupt = new AbortController();
if (!process.argv.includes('__vpn-daemon')) process.on('SIGINT', () => interrupt.abort());
process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  version: '0.0.0',
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isInteractive: false,
  readInput: async () => {
    let text = '';
    for await (const chunk of process.stdin) text += chunk;
    return text;
  },
  unixMs: () => Date.now(),
  engineCommand: [process.execPath, fileURLToPath(import.meta.url)],
  loadParts: async () => ({ createNode: (options) => new FakeNode(options), services }),
  interrupt: interrupt.signal,
});
setTimeout(() => process.exit(), 1000).unref();
