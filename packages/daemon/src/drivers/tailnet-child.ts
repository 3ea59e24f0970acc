import type { Child } from '@heddle/host/child-process';
import { startReportShape } from '../schema/engine-config.ts';
import type { StateEvent } from '../schema/event.ts';
import { eventShape } from '../schema/event.ts';
import { ControlClient } from '../socket/control-client.ts';
import { readJsonLines } from '../socket/json-lines.ts';
import type { Health, TeamChild, TeamFacts, TeamFailure } from '../team/driver.ts';

/** A line with one log record at most. */
const REPORT_LINE_BYTES_MAX = 65_536;

/** Only a person can mend these; the engine would fail in the same way again. */
const FATAL_ROOMS = ['usage', 'proxy', 'forward', 'serve', 'state', 'engine', 'connect'];
const FATAL_CODES = [
  'control/auth-key-required',
  'control/invalid-auth-key',
  'control/registration-refused',
  'control/version-refused',
  'control/unsupported-server',
  'control/redirected',
];

/** The engine of a tailnet as the child of a team. */
export class TailnetChild implements TeamChild {
  readonly identity: TeamChild['identity'];
  readonly ready: Promise<TeamFacts>;
  readonly waiting: Promise<string>;
  readonly exited: Promise<TeamFailure>;
  readonly #child: Child;
  readonly #socketPath: string;
  readonly #proxy: string | undefined;
  #state: StateEvent = { event: 'state', state: 'starting' };
  /** What the engine said last about why it does not run. */
  #failure: { readonly code: string; readonly message: string } | undefined;
  #becomeReady: (facts: TeamFacts) => void = () => {};
  #wait: (what: string) => void = () => {};

  constructor(options: { child: Child; socketPath: string; proxy: string | undefined }) {
    this.#child = options.child;
    this.#socketPath = options.socketPath;
    this.#proxy = options.proxy;
    this.identity = options.child.identity;
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    this.waiting = new Promise((resolve) => {
      this.#wait = resolve;
    });
    const report = this.#readReport();
    this.exited = Promise.all([options.child.exited, report]).then(([exit]) => this.#explain(exit));
  }

  /** An engine has its configuration from its start. */
  async reload(): Promise<boolean> {
    return false;
  }

  async checkHealth(): Promise<Health> {
    const { state, code, message } = this.#state;
    if (state === 'running') return { kind: 'ok' };
    if (state === 'error') {
      return { kind: 'warning', code: code ?? 'tailnet/internal', message: message ?? 'The tailnet has failed' };
    }
    if (state === 'needs_login')
      return { kind: 'warning', code: 'team/needs-login', message: `Needs ${loginAt(this.#state)}` };
    return { kind: 'warning', code: 'team/reconnecting', message: `The tailnet is ${state.replace('_', ' ')}` };
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    this.#child.kill(name);
  }

  /** The start and everything until it runs comes by the report; what happens later by the control socket. */
  async #readReport(): Promise<void> {
    const { report } = this.#child;
    if (report === undefined) return;
    try {
      const lines = readJsonLines(report, REPORT_LINE_BYTES_MAX);
      const start = startReportShape((await lines.next()).value);
      if (start.kind === 'ok' && !start.value.ok) this.#failure = start.value;
      for await (const line of lines) this.#handleLine(line);
    } catch {
      // The engine ended in the middle of a line: its exit says more.
    }
  }

  #handleLine(line: unknown): void {
    const event = eventShape(line);
    if (event.kind === 'ok' && event.value.event === 'state') this.#handleState(event.value);
  }

  #handleState(event: StateEvent): void {
    this.#state = event;
    if (event.state === 'needs_login') this.#wait(loginAt(event));
    if (event.state === 'error') {
      this.#failure = { code: event.code ?? 'tailnet/internal', message: event.message ?? 'The tailnet has failed' };
    }
    if (event.state !== 'running') return;
    const addresses = event.addresses ?? [];
    this.#failure = undefined;
    this.#becomeReady({
      device: undefined,
      addresses,
      networks: addresses.map(hostPrefix),
      proxy: this.#proxy,
      version: undefined,
    });
    void this.#follow();
  }

  async #follow(): Promise<void> {
    let client: ControlClient | undefined;
    try {
      client = await ControlClient.connect(this.#socketPath);
      for await (const event of client.subscribe(['state'])) if (event.event === 'state') this.#state = event;
    } catch {
      // The engine ends; its exit says more.
    } finally {
      client?.close();
    }
  }

  #explain({ code, signal }: Awaited<Child['exited']>): TeamFailure {
    if (this.#failure !== undefined) {
      const isFatal = FATAL_CODES.includes(this.#failure.code) || FATAL_ROOMS.includes(roomOf(this.#failure.code));
      return { ...this.#failure, retry: isFatal ? 'never' : 'backoff' };
    }
    const how = signal === null ? `with status ${code}` : `by ${signal}`;
    return { code: 'engine/died', message: `The engine ended ${how}`, retry: 'backoff' };
  }
}

function loginAt({ auth_url }: StateEvent): string {
  return `a login at ${auth_url}`;
}

function roomOf(code: string): string {
  return code.split('/', 1)[0] ?? '';
}

function hostPrefix(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}
