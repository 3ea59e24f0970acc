import { expect, it } from 'vitest';
import { LEFT_IPV4, RIGHT_IPV4 } from '../../../test/netstack-world.ts';
import { seededRng } from '../../../test/seeded-rng.ts';
import { createEndpoint } from '../../ip/endpoint.ts';
import { FlowSecrets } from './flow-secrets.ts';

const local = createEndpoint(LEFT_IPV4, 80);
const remote = createEndpoint(RIGHT_IPV4, 50_000);

it('moves the initial sequence of a flow by 250 a millisecond, across the wrap', () => {
  const secrets = new FlowSecrets(seededRng(1));
  const first = secrets.derive(local, remote, 0);
  for (const nowMs of [0.004, 1, 1000, 17_179_870, 99_999_999]) {
    const later = secrets.derive(local, remote, nowMs);
    expect((later.initialSequence - first.initialSequence) | 0).toBe(Math.floor(nowMs * 250) | 0);
    expect(later.timestampOffset).toBe(first.timestampOffset);
  }
});

it('gives every flow and every stack numbers of its own', () => {
  const secrets = new FlowSecrets(seededRng(1));
  const numbers = [
    secrets.derive(local, remote, 0),
    secrets.derive(local, createEndpoint(RIGHT_IPV4, 50_001), 0),
    secrets.derive(remote, local, 0),
    new FlowSecrets(seededRng(2)).derive(local, remote, 0),
  ];
  expect(new Set(numbers.map((each) => each.initialSequence)).size).toBe(4);
  expect(new Set(numbers.map((each) => each.timestampOffset)).size).toBe(4);
});
