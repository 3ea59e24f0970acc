import type { TeamClaims } from '../src/plan/claims.ts';
import type {
  Assignment,
  Health,
  TeamChild,
  TeamDriver,
  TeamFacts,
  TeamFailure,
  TeamNeeds,
} from '../src/team/driver.ts';

export const NOTHING_ASSIGNED: Assignment = { device: undefined, listenPort: undefined, proxyPort: undefined };

export const FACTS: TeamFacts = {
  device: 'cvpn1',
  addresses: ['10.77.0.2'],
  networks: ['10.77.0.0/24'],
  proxy: undefined,
  version: '1.11.1',
};

export const CRASH: TeamFailure = { code: 'nebula/crashed', message: 'Ended with status 2', retry: 'backoff' };

/** A child that does what the test says. */
export class FakeChild implements TeamChild {
  readonly identity: TeamChild['identity'];
  readonly ready: Promise<TeamFacts>;
  readonly exited: Promise<TeamFailure>;
  readonly signals: string[] = [];
  readonly waiting: Promise<string>;
  waitFor: (what: string) => void = () => {};
  health: Health = { kind: 'ok' };
  /** What a SIGTERM does. */
  onTerm: () => void = () => this.exit(CRASH);
  becomeReady: (facts?: TeamFacts) => void = () => {};
  exit: (failure: TeamFailure) => void = () => {};

  constructor(pid: number) {
    this.identity = { pid, startMark: `mark-${pid}` };
    this.ready = new Promise((resolve) => {
      this.becomeReady = (facts = FACTS) => resolve(facts);
    });
    this.waiting = new Promise((resolve) => {
      this.waitFor = resolve;
    });
    this.exited = new Promise((resolve) => {
      this.exit = resolve;
    });
  }

  /** What a reload comes to. */
  reloads: () => Promise<boolean> = async () => true;

  reload(): Promise<boolean> {
    return this.reloads();
  }

  async checkHealth(): Promise<Health> {
    return this.health;
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    this.signals.push(name);
    if (name === 'SIGTERM') this.onTerm();
    else this.exit(CRASH);
  }
}

export class FakeDriver implements TeamDriver {
  readonly kind = 'nebula';
  readonly children: FakeChild[] = [];
  readonly assignments: Assignment[] = [];
  startError: Error | undefined;
  claims: Partial<TeamClaims> = {};
  inspectError: Error | undefined;
  /** Called with every new child. */
  onChild: (child: FakeChild) => void = (child) => child.becomeReady();
  areFilesRemoved = false;
  readonly #team: string;

  constructor(team = 'acme') {
    this.#team = team;
  }

  get last(): FakeChild {
    return this.children.at(-1) as FakeChild;
  }

  async inspect(): Promise<TeamNeeds> {
    if (this.inspectError !== undefined) throw this.inspectError;
    const claims: TeamClaims = {
      team: this.#team,
      kind: 'nebula',
      networks: ['10.77.0.0/24'],
      unsafeRoutes: [],
      device: undefined,
      wantsDevice: true,
      listenPort: undefined,
      isListenPortFixed: false,
      proxyPort: undefined,
      forwardPorts: [],
      ...this.claims,
    };
    return { claims, isProxyPortGiven: false, certNotAfterUnixMs: undefined };
  }

  verifyError: Error | undefined;

  async verify(): Promise<void> {
    if (this.verifyError !== undefined) throw this.verifyError;
  }

  async start(assignment: Assignment): Promise<TeamChild> {
    if (this.startError !== undefined) throw this.startError;
    const child = new FakeChild(1000 + this.children.length);
    this.children.push(child);
    this.assignments.push(assignment);
    this.onChild(child);
    return child;
  }

  async removeFiles(): Promise<void> {
    this.areFilesRemoved = true;
  }
}
