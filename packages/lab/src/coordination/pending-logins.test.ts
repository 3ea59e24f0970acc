import { expect, test, vi } from 'vitest';
import { PENDING_LOGIN_COUNT_MAX, PENDING_LOGIN_MS, PendingLogins } from './pending-logins.ts';

const HOSTINFO = { hostname: 'a', hostinfo: {}, homeDerp: undefined };
const NEVER = new AbortController().signal;

test('one machine has one login, however often it asks', () => {
  const logins = new PendingLogins();
  const { id } = logins.start('mkey:1', 'nodekey:1', HOSTINFO);
  expect(logins.start('mkey:1', 'nodekey:1', HOSTINFO).id).toBe(id);
  expect(logins.start('mkey:1', 'nodekey:2', HOSTINFO).id).not.toBe(id);
});

test('the oldest login gives way when there are too many', () => {
  const logins = new PendingLogins();
  const ids = Array.from({ length: PENDING_LOGIN_COUNT_MAX + 1 }, (_, i) => logins.start('m', `n${i}`, HOSTINFO).id);
  expect(logins.find(ids[0]!)).toBeUndefined();
  expect(ids.slice(1).every((id) => logins.find(id) !== undefined)).toBe(true);
});

test('a login that waits too long ends, also for who waits for it', async () => {
  vi.useFakeTimers();
  try {
    const logins = new PendingLogins();
    const { id } = logins.start('mkey:1', 'nodekey:1', HOSTINFO);
    const waiting = logins.waitForApproval(id, NEVER);
    await vi.advanceTimersByTimeAsync(PENDING_LOGIN_MS);
    expect(await waiting).toBeUndefined();
    expect(logins.approve(id)).toBe(false);
  } finally {
    vi.useRealTimers();
  }
});

test('who stops waiting leaves the login as it is', async () => {
  const logins = new PendingLogins();
  const { id } = logins.start('mkey:1', 'nodekey:1', HOSTINFO);
  const stop = new AbortController();
  const waiting = logins.waitForApproval(id, stop.signal);
  stop.abort();
  expect(await waiting).toBeUndefined();
  expect(logins.approve(id)).toBe(true);
  expect(await logins.waitForApproval(id, NEVER)).toMatchObject({ isApproved: true });
});
