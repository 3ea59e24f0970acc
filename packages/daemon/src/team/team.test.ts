import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CRASH, FakeDriver, NOTHING_ASSIGNED } from '../../test/fake-driver.ts';
import { Team } from './team.ts';

let driver: FakeDriver;
let team: Team;
let states: string[];
let planError: Error | undefined;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  driver = new FakeDriver();
  states = [];
  planError = undefined;
  team = new Team({
    name: 'acme',
    driver,
    plan: async () => {
      if (planError !== undefined) throw planError;
      return NOTHING_ASSIGNED;
    },
    onChange: ({ state }) => {
      if (states.at(-1) !== state.kind) states.push(state.kind);
    },
    nowMs: () => Date.now(),
    unixMs: () => Date.now(),
    random: () => 0,
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const codeOf = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => 'ok',
    (error: TailnetError) => error.code,
  );

describe('a start', () => {
  it('is over when the network is up', async () => {
    await team.start();
    expect(states).toEqual(['starting', 'up']);
    expect(team.child?.identity.pid).toBe(1000);
  });
  it('of a team that is up changes nothing', async () => {
    await team.start();
    await team.start();
    expect(driver.children).toHaveLength(1);
  });
  it('is answered after 8 s while the network is still coming up', async () => {
    driver.onChild = () => {};
    const starting = team.start();
    await vi.advanceTimersByTimeAsync(8000);
    await starting;
    expect(team.state.kind).toBe('starting');
    driver.last.becomeReady();
    await vi.advanceTimersByTimeAsync(0);
    expect(team.state.kind).toBe('up');
  });
  it('is answered at once when a person has to log in', async () => {
    driver.onChild = (child) => child.waitFor('a login at https://login.test');
    await team.start();
    expect(team.state).toEqual({ kind: 'starting', waitsFor: 'a login at https://login.test' });
    driver.last.becomeReady();
    await vi.advanceTimersByTimeAsync(0);
    expect(team.state.kind).toBe('up');
  });
  it('fails with the reason, and is tried again where that may help', async () => {
    driver.onChild = (child) => child.exit(CRASH);
    expect(await codeOf(team.start())).toBe('nebula/crashed');
    expect(team.state.kind).toBe('backoff');
    driver.onChild = (child) => child.becomeReady();
    await vi.advanceTimersByTimeAsync(250);
    expect(team.state.kind).toBe('up');
    expect(team.restartCount).toBe(1);
  });
  it('that can only be mended by a person is not tried again', async () => {
    driver.startError = new TailnetError('nebula/config-invalid', 'No');
    expect(await codeOf(team.start())).toBe('nebula/config-invalid');
    expect(states).toEqual(['starting', 'failed']);
    expect(vi.getTimerCount()).toBe(0);
  });
  it('is refused by the plan before anything is spawned', async () => {
    planError = new TailnetError('plan/overlapping-team', 'beta has 10.77.0.0/24');
    expect(await codeOf(team.start())).toBe('plan/overlapping-team');
    expect(driver.children).toHaveLength(0);
  });
  it('forgives what was before', async () => {
    driver.onChild = (child) => child.exit(CRASH);
    await codeOf(team.start());
    await vi.advanceTimersByTimeAsync(60_000);
    expect(team.state).toMatchObject({ kind: 'failed', failure: { code: 'team/crash-loop' } });
    driver.onChild = (child) => child.becomeReady();
    await team.start();
    expect(team.state.kind).toBe('up');
    expect(team.restartCount).toBe(0);
  });
});

describe('a stop', () => {
  it('ends the child and waits for it', async () => {
    await team.start();
    await team.stop();
    expect(driver.last.signals).toEqual(['SIGTERM']);
    expect(states).toEqual(['starting', 'up', 'stopping', 'stopped']);
  });
  it('does not wait for a network that comes up', async () => {
    driver.onChild = () => {};
    const starting = team.start();
    await vi.advanceTimersByTimeAsync(0);
    await team.stop();
    await starting;
    expect(team.state.kind).toBe('stopped');
  });
  it('kills a child that does not go in 5 s', async () => {
    await team.start();
    driver.last.onTerm = () => {};
    const stopping = team.stop();
    await vi.advanceTimersByTimeAsync(4999);
    expect(driver.last.signals).toEqual(['SIGTERM']);
    await vi.advanceTimersByTimeAsync(1);
    await stopping;
    expect(driver.last.signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(team.state.kind).toBe('stopped');
  });
  it('says so when not even that helps', async () => {
    await team.start();
    driver.last.signal = () => {};
    const outcome = codeOf(team.stop());
    await vi.advanceTimersByTimeAsync(6000);
    expect(await outcome).toBe('team/stuck');
  });
  it('cancels a restart that waits', async () => {
    driver.onChild = (child) => child.exit(CRASH);
    await codeOf(team.start());
    await team.stop();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(driver.children).toHaveLength(1);
    expect(team.state.kind).toBe('stopped');
  });
  it('of a stopped team is nothing', async () => {
    await team.stop();
    expect(team.state.kind).toBe('stopped');
  });
});

describe('a retirement', () => {
  it('ends the child, forgets, and refuses what was on its way', async () => {
    await team.start();
    const seen: string[] = [];
    const retiring = team.retire(async () => void seen.push(team.state.kind));
    const codes = [team.start(), team.restart(), team.reload()].map(codeOf);
    await retiring;
    expect(await Promise.all(codes)).toEqual(['team/gone', 'team/gone', 'ok']);
    expect([seen, team.state.kind, driver.children.length]).toEqual([['stopped'], 'stopped', 1]);
    expect(vi.getTimerCount()).toBe(0);
  });
  it('that could not forget leaves a team that can be started', async () => {
    await team.start();
    expect(await codeOf(team.retire(() => Promise.reject(new TailnetError('state/disk-full', 'No'))))).toBe(
      'state/disk-full',
    );
    await team.start();
    expect(team.state.kind).toBe('up');
  });
});

describe('a restart', () => {
  it('brings another child, of a stopped team too', async () => {
    await team.restart();
    await team.restart();
    expect(driver.children).toHaveLength(2);
    expect(team.child?.identity.pid).toBe(1001);
  });
});

describe('a reload', () => {
  it('keeps the child where it can', async () => {
    await team.start();
    await team.reload();
    expect(driver.children).toHaveLength(1);
    expect(states).toEqual(['starting', 'up']);
  });
  it('is a restart where it cannot', async () => {
    await team.start();
    driver.last.reloads = async () => false;
    await team.reload();
    expect(driver.children).toHaveLength(2);
    expect(team.state.kind).toBe('up');
  });
  it('of a bad configuration leaves the team as it was', async () => {
    await team.start();
    driver.last.reloads = () => Promise.reject(new TailnetError('team/bad-config', 'No'));
    expect(await codeOf(team.reload())).toBe('team/bad-config');
    expect(team.state.kind).toBe('up');
    expect(driver.children).toHaveLength(1);
  });
  it('of a team that is down is nothing', async () => {
    await team.reload();
    expect(driver.children).toHaveLength(0);
  });
});

describe('a team that is up', () => {
  it('comes back by itself after its child has died', async () => {
    await team.start();
    driver.last.exit(CRASH);
    await vi.advanceTimersByTimeAsync(0);
    expect(team.state).toMatchObject({ kind: 'backoff', failure: CRASH });
    await vi.advanceTimersByTimeAsync(250);
    expect(team.state.kind).toBe('up');
    expect([team.restartCount, team.lastFailure]).toEqual([1, CRASH]);
    // The next health check, and nothing of the first child.
    expect(vi.getTimerCount()).toBe(1);
  });
  it('shows a warning as long as there is one', async () => {
    await team.start();
    driver.last.health = { kind: 'warning', code: 'nebula/certificate-expiring', message: 'In 6 days' };
    await vi.advanceTimersByTimeAsync(5000);
    expect(team.state).toMatchObject({ kind: 'up', warning: { code: 'nebula/certificate-expiring' } });
    driver.last.health = { kind: 'ok' };
    await vi.advanceTimersByTimeAsync(5000);
    expect(team.state).toMatchObject({ kind: 'up', warning: undefined });
  });
  it('is restarted when it has been ill three times in a row', async () => {
    await team.start();
    const first = driver.last;
    first.health = { kind: 'failed', code: 'nebula/address-lost', message: 'cvpn1 has lost 10.77.0.2' };
    await vi.advanceTimersByTimeAsync(10_000);
    expect(first.signals).toEqual([]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(first.signals).toEqual(['SIGTERM']);
    expect(team.lastFailure?.code).toBe('nebula/address-lost');
    await vi.advanceTimersByTimeAsync(250);
    expect(team.state.kind).toBe('up');
    expect(driver.children).toHaveLength(2);
  });
  it('does not listen to an earlier child', async () => {
    await team.start();
    const first = driver.last;
    await team.restart();
    first.exit(CRASH);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(team.state.kind).toBe('up');
  });
});
