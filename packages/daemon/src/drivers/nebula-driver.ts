import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from '@heddle/host/child-process';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { findNebula } from '../nebula/binary.ts';
import { expiryOf } from '../nebula/certificate-expiry.ts';
import { renderConfig } from '../nebula/render-config.ts';
import { needsRestart } from '../nebula/restart-keys.ts';
import { reasonOf } from '../socket/socket-path.ts';
import type { Assignment, TeamChild, TeamDriver, TeamNeeds } from '../team/driver.ts';
import type { DeviceProbe } from './device-probe.ts';
import { NebulaChild } from './nebula-child.ts';
import { claimsOf, type NebulaSetup, readNebulaSetup } from './nebula-setup.ts';
import { testNebulaConfig } from './nebula-test.ts';
import { TEST_FILE, type TeamPaths } from './team-paths.ts';

export interface NebulaDriverOptions {
  readonly team: string;
  readonly paths: TeamPaths;
  /** Absolute path of the program; undefined to look in PATH. */
  readonly binary: string | undefined;
  readonly probe: DeviceProbe | undefined;
  readonly unixMs: () => number;
  /** Called before a start. @throws {TailnetError} when the team may not run. */
  readonly admit: () => Promise<void>;
}

/** Where programs are that only root can put there. Windows has no such list: the path must be given. */
const SEARCH_PATH = process.platform === 'win32' ? '' : '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** What Nebula gets instead of our environment; Node adds what no process of Windows runs without. */
const CHILD_ENV = { PATH: SEARCH_PATH, LANG: 'C.UTF-8', GOTRACEBACK: 'single' };

/** Runs a Nebula network in a process of the external program. */
export class NebulaDriver implements TeamDriver {
  readonly kind = 'nebula';
  readonly #o: NebulaDriverOptions;

  constructor(options: NebulaDriverOptions) {
    this.#o = options;
  }

  async inspect(): Promise<TeamNeeds> {
    const setup = readNebulaSetup(this.#o.paths.configDir);
    const { certificates } = setup;
    const claims = claimsOf(this.#o.team, setup);
    const ends = certificates.map((certificate) => certificate.notAfterUnixMs);
    const certNotAfterUnixMs = ends.length === 0 ? undefined : Math.min(...ends);
    return { claims, isProxyPortGiven: false, certNotAfterUnixMs };
  }

  async verify(): Promise<void> {
    const { paths } = this.#o;
    const setup = readNebulaSetup(paths.configDir);
    const command = this.#findProgram();
    if (command === undefined) return;
    const path = join(paths.dir, TEST_FILE);
    try {
      mkdirSync(paths.dir, { recursive: true, mode: 0o700 });
      writeRendered(path, render(setup, undefined, undefined));
      await testNebulaConfig(command, path, CHILD_ENV);
    } finally {
      rmSync(path, { force: true });
    }
  }

  async start({ device, listenPort }: Assignment): Promise<TeamChild> {
    const { paths, binary, probe, unixMs } = this.#o;
    await this.#o.admit();
    const setup = readNebulaSetup(paths.configDir);
    refuseExpired(setup, unixMs());
    const command = findNebula({ path: binary, searchPath: SEARCH_PATH, uid: process.geteuid?.() });
    const { isDisabled } = setup.config.tun;
    const rendered = render(setup, device, listenPort);
    try {
      mkdirSync(paths.dir, { recursive: true, mode: 0o700 });
      writeRendered(paths.renderedPath, rendered);
      const logOffset = statSync(paths.logPath, { throwIfNoEntry: false })?.size ?? 0;
      const child = await startChild({
        command,
        args: ['-config', paths.renderedPath],
        logPath: paths.logPath,
        env: CHILD_ENV,
        input: undefined,
        isReporting: false,
      });
      const name = isDisabled ? undefined : device;
      const renderAgain = (): Promise<NebulaSetup | undefined> => this.#renderAgain(setup, device, listenPort);
      return new NebulaChild({
        child,
        setup,
        device: name,
        logPath: paths.logPath,
        logOffset,
        probe,
        unixMs,
        renderAgain,
      });
    } catch (error) {
      throw new TailnetError('nebula/start-failed', `Cannot start "${command}" (${reasonOf(error)})`, {
        isRetryable: true,
      });
    }
  }

  /** Undefined where Nebula is not installed yet. @throws {TailnetError} `nebula/binary-unsafe`. */
  #findProgram(): string | undefined {
    try {
      return findNebula({ path: this.#o.binary, searchPath: SEARCH_PATH, uid: process.geteuid?.() });
    } catch (error) {
      if (error instanceof TailnetError && error.code === 'nebula/binary-missing') return undefined;
      throw error;
    }
  }

  /** Undefined when a running process would not take the new configuration over, or not all of it. */
  async #renderAgain(
    before: NebulaSetup,
    device: string | undefined,
    listenPort: number | undefined,
  ): Promise<NebulaSetup | undefined> {
    // Nobody can send it SIGHUP there.
    if (process.platform === 'win32') return undefined;
    const { paths, unixMs } = this.#o;
    const setup = readNebulaSetup(paths.configDir);
    refuseExpired(setup, unixMs());
    if (setup.networks.join() !== before.networks.join()) return undefined;
    const rendered = render(setup, device, listenPort);
    if (needsRestart(readFileSync(paths.renderedPath, 'utf8'), rendered, undefined).length > 0) return undefined;
    writeRendered(paths.renderedPath, rendered);
    return setup;
  }

  async removeFiles(): Promise<void> {
    rmSync(this.#o.paths.dir, { recursive: true, force: true });
  }
}

function render(setup: NebulaSetup, device: string | undefined, listenPort: number | undefined): string {
  return renderConfig(setup.config, {
    device: device ?? setup.config.tun.device ?? '',
    listenPort: listenPort ?? 0,
    logFormat: 'json',
  });
}

/** Nebula would refuse it as well, and its peers sooner. */
function refuseExpired({ certificates, authorities }: NebulaSetup, nowUnixMs: number): void {
  if (certificates.length === 0) return;
  const expiry = expiryOf(certificates, authorities, nowUnixMs);
  if (expiry.kind !== 'expired') return;
  const since = new Date(expiry.notAfterUnixMs).toISOString();
  if (expiry.which === 'ca')
    throw new TailnetError('nebula/ca-expired', `The certificate authority expired at ${since}`);
  throw new TailnetError('nebula/certificate-expired', `The certificate of this machine expired at ${since}`);
}

/** It may hold the private key. */
function writeRendered(path: string, text: string): void {
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, text, { mode: 0o600, flag: 'wx', flush: true });
  renameSync(`${path}.new`, path);
}
