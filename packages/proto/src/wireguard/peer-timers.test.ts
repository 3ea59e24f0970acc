import { expect, test } from 'vitest';
import { scriptedRng } from '../../test/wireguard-end.ts';
import { JITTER_MS_MAX, Jitter } from './jitter.ts';
import { PeerTimers, ZERO_AFTER_MS } from './peer-timers.ts';

const jitter = new Jitter(scriptedRng([new Uint8Array(256)]));

test('a peer that never gets a session still has its end scheduled', () => {
  expect(new PeerTimers(0, 100).nextAtMs()).toBe(100 + ZERO_AFTER_MS);
});

test('silence is measured from the first unanswered data packet', () => {
  const timers = new PeerTimers(0, 0);
  timers.dataSent(1000, jitter);
  timers.dataSent(9000, jitter);
  expect(timers.nextAtMs()).toBe(16_000);
  timers.authenticReceived(10_000);
  expect(timers.nextAtMs()).toBe(ZERO_AFTER_MS);
  timers.dataSent(60_000, jitter);
  expect(timers.nextAtMs()).toBe(75_000);
});

test('a keepalive is owed ten seconds after the first unanswered data, once', () => {
  const timers = new PeerTimers(0, 0);
  timers.dataReceived(0);
  timers.dataReceived(3000);
  expect(timers.takeDue(9999)).toBeUndefined();
  expect(timers.takeDue(10_000)).toBe('keepalive');
  expect(timers.nextAtMs()).toBe(ZERO_AFTER_MS);
});

test('anything sent cancels the keepalive', () => {
  const timers = new PeerTimers(0, 0);
  timers.dataReceived(0);
  timers.dataReceived(1);
  timers.authenticSent(2);
  expect(timers.nextAtMs()).toBe(ZERO_AFTER_MS);
});

test('a persistent keepalive repeats, and traffic of either direction postpones it', () => {
  const timers = new PeerTimers(25_000, 0);
  timers.authenticSent(0);
  timers.authenticReceived(5000);
  expect(timers.nextAtMs()).toBe(30_000);
  expect(timers.takeDue(30_000)).toBe('persistent-keepalive');
  expect(timers.nextAtMs()).toBe(55_000);
});

test('due timers are taken one at a time until none is left', () => {
  const timers = new PeerTimers(0, 0);
  timers.scheduleHandshake(5000);
  timers.dataSent(0, jitter);
  timers.dataReceived(0);
  const taken: string[] = [];
  for (let timer = timers.takeDue(1e6); timer; timer = timers.takeDue(1e6)) taken.push(timer);
  expect(taken).toEqual(['zero-keys', 'retransmit', 'new-handshake', 'keepalive']);
  expect(timers.nextAtMs()).toBe(Infinity);
});

test('jitter covers 0 to 333 ms', () => {
  const random = new Uint8Array(256).fill(0xff, 2);
  const drawn = new Jitter(scriptedRng([random]));
  expect([drawn.drawMs(), drawn.drawMs()]).toEqual([0, JITTER_MS_MAX]);
  const many = new Jitter(scriptedRng([]));
  const values = Array.from({ length: 5000 }, () => many.drawMs());
  expect(Math.min(...values)).toBe(0);
  expect(Math.max(...values)).toBe(JITTER_MS_MAX);
});
