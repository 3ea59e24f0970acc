import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '@heddle/host/child-process';
import { isInPrefix, parsePrefix } from '@heddle/proto/ip/prefix';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { expiryOf } from '../nebula/certificate-expiry.ts';
import { explainExit } from '../nebula/failure-reason.ts';
import { activeInterface } from '../nebula/log-facts.ts';
import { type NebulaLogLine, parseLogLine } from '../nebula/log-line.ts';
import type { Health, TeamChild, TeamFacts, TeamFailure } from '../team/driver.ts';
import { rotateLog } from '../team/log-rotation.ts';
import { readTail } from '../team/log-tail.ts';
import type { DeviceProbe } from './device-probe.ts';
import type { NebulaSetup } from './nebula-setup.ts';

export interface NebulaChildOptions {
  readonly child: Child;
  readonly setup: NebulaSetup;
  /** Undefined when the configuration switches it off. */
  readonly device: string | undefined;
  readonly logPath: string;
  /** Size of the log before this process. */
  readonly logOffset: number;
  readonly probe: DeviceProbe | undefined;
  readonly unixMs: () => number;
  /** Reads the configuration anew and writes it for the child; undefined when the child would not take it by a signal. */
  readonly renderAgain: () => Promise<NebulaSetup | undefined>;
}

/** A health check may share what the kernel said to another team's. */
const SNAPSHOT_AGE_MS_MAX = 1000;
const LOOK_OFTEN_MS = 10;
const LOOK_OFTEN_COUNT = 100;
const LOOK_SELDOM_MS = 100;
/** What a reload could not take over is said within a third of a second. */
const RELOAD_LOOK_MS = 30;
const RELOAD_LOOK_COUNT = 10;
/** Of 1.6 to 1.11; errors that peers cause look otherwise. */
const RELOAD_FAILURE = /reload|client cert|load ca|cert was different|unsafe_routes/i;
/** Logs and certificates are looked at once a minute, of checks every five seconds. */
const CHECKS_PER_SLOW_CHECK = 12;

/**
 * A Nebula process as the child of a team. Its log says "active" before the device has an address, so it is up when the
 * kernel says so; only without a device, or a kernel to ask, the log is believed.
 */
export class NebulaChild implements TeamChild {
  readonly identity: TeamChild['identity'];
  readonly ready: Promise<TeamFacts>;
  readonly waiting: Promise<string> = new Promise(() => {});
  readonly exited: Promise<TeamFailure>;
  readonly #o: NebulaChildOptions;
  #setup: NebulaSetup;
  #hasExited = false;
  #lookCount = 0;
  #checkCount = 0;
  #certificateHealth: Health = { kind: 'ok' };

  constructor(options: NebulaChildOptions) {
    this.#o = options;
    this.#setup = options.setup;
    this.identity = options.child.identity;
    this.ready = new Promise((resolve) => this.#look(resolve));
    this.exited = options.child.exited.then((exit) => {
      this.#hasExited = true;
      return explainExit(this.#logLines(), exit);
    });
  }

  async reload(): Promise<boolean> {
    const setup = await this.#o.renderAgain();
    if (setup === undefined) return false;
    const offset = logSize(this.#o.logPath);
    this.#o.child.kill('SIGHUP');
    await this.#waitForReload(offset);
    this.#setup = setup;
    this.#checkCount = 0;
    return true;
  }

  async checkHealth(): Promise<Health> {
    const isSlowCheckDue = this.#checkCount % CHECKS_PER_SLOW_CHECK === 0;
    this.#checkCount++;
    if (isSlowCheckDue) {
      rotateLog(this.#o.logPath);
      this.#certificateHealth = this.#checkCertificates();
    }
    return this.#deviceHealth() ?? this.#certificateHealth;
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    this.#o.child.kill(name);
  }

  /**
   * Nebula says that it has caught the signal, and then one line for each part it could not take over.
   * @throws {TailnetError} `nebula/reload-failed`.
   */
  async #waitForReload(offset: number): Promise<void> {
    for (let i = 0; i < RELOAD_LOOK_COUNT; i++) {
      await sleep(RELOAD_LOOK_MS);
      const lines = this.#logLines(offset);
      const failure = lines.find(({ level, message }) => level === 'error' && RELOAD_FAILURE.test(message));
      if (failure === undefined) continue;
      const reason = failure.error ?? failure.message;
      throw new TailnetError('nebula/reload-failed', `Nebula did not take over the configuration: ${reason}`);
    }
  }

  #look(becomeReady: (facts: TeamFacts) => void): void {
    if (this.#hasExited) return;
    if (this.#isUp()) {
      becomeReady(this.#facts());
      return;
    }
    this.#lookCount++;
    setTimeout(() => this.#look(becomeReady), this.#lookCount < LOOK_OFTEN_COUNT ? LOOK_OFTEN_MS : LOOK_SELDOM_MS);
  }

  #isUp(): boolean {
    const { device, probe } = this.#o;
    if (device === undefined || probe === undefined) {
      return this.#logLines().some((line) => activeInterface(line) !== undefined);
    }
    const state = probe(device, 0);
    if (state === undefined || state === 'unknown') return false;
    return state.isUp && this.#missingAddress(state.addresses) === undefined;
  }

  #facts(): TeamFacts {
    const { device } = this.#o;
    const setup = this.#setup;
    const addresses = device === undefined ? [] : this.#addresses();
    const version = this.#logLines()
      .map(activeInterface)
      .find((line) => line !== undefined)?.version;
    return { device, addresses, networks: setup.networks, proxy: undefined, version };
  }

  #addresses(): string[] {
    return this.#setup.networks.flatMap((network) => parsePrefix(network)?.address.text ?? []);
  }

  #missingAddress(present: readonly string[]): string | undefined {
    return this.#addresses().find((address) => !present.includes(address));
  }

  #deviceHealth(): Health | undefined {
    const { device, probe } = this.#o;
    if (device === undefined || probe === undefined) return undefined;
    const state = probe(device, SNAPSHOT_AGE_MS_MAX);
    if (state === 'unknown') return undefined;
    if (state === undefined) return { kind: 'failed', code: 'nebula/device-lost', message: `${device} is gone` };
    if (!state.isUp) return { kind: 'failed', code: 'nebula/device-down', message: `${device} was set down` };
    const missing = this.#missingAddress(state.addresses);
    if (missing !== undefined) {
      return { kind: 'failed', code: 'nebula/address-lost', message: `${device} has lost its address ${missing}` };
    }
    const network = this.#missingRoute(state.routes);
    if (network === undefined) return undefined;
    return { kind: 'failed', code: 'nebula/route-lost', message: `The route of ${network} leads to ${device} no more` };
  }

  /** Another program that takes the same prefix replaces the route, and it does not come back by itself. */
  #missingRoute(routes: readonly string[]): string | undefined {
    const present = routes.flatMap((route) => parsePrefix(route) ?? []);
    return this.#setup.networks.find((text) => {
      const network = parsePrefix(text);
      return (
        network !== undefined &&
        !present.some((route) => route.bits <= network.bits && isInPrefix(route, network.address))
      );
    });
  }

  #checkCertificates(): Health {
    const { unixMs } = this.#o;
    const setup = this.#setup;
    if (setup.certificates.length === 0) return { kind: 'ok' };
    const expiry = expiryOf(setup.certificates, setup.authorities, unixMs());
    const what = 'which' in expiry && expiry.which === 'ca' ? 'certificate authority' : 'certificate';
    if (expiry.kind === 'expiring') {
      const until = new Date(expiry.notAfterUnixMs).toISOString();
      return { kind: 'warning', code: 'nebula/certificate-expiring', message: `The ${what} ends at ${until}` };
    }
    if (expiry.kind === 'expired') {
      return { kind: 'warning', code: 'nebula/certificate-expired', message: `The ${what} has expired` };
    }
    return { kind: 'ok' };
  }

  /** The lines of this process, or those from an offset on. */
  #logLines(offset: number = this.#o.logOffset): NebulaLogLine[] {
    const text = readTail(this.#o.logPath, offset) ?? '';
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map(parseLogLine);
  }
}

function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
