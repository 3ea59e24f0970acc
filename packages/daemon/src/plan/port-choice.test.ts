import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePort, isPort, PORT_MAX, type PortChoice } from './port-choice.ts';

interface Case {
  readonly remembered?: number;
  readonly wanted?: number;
  readonly taken?: readonly number[];
  readonly kept?: readonly number[];
}

function choose({ remembered, wanted, taken = [], kept = [] }: Case): PortChoice {
  return choosePort({
    remembered,
    wanted,
    isTaken: (port) => taken.includes(port),
    isKept: (port) => kept.includes(port),
  });
}

const port = (value: number, movedFrom?: number): PortChoice => ({ kind: 'port', port: value, movedFrom });

describe('a port', () => {
  it.each<[string, Case, PortChoice]>([
    ['is any when nothing is asked and nothing remembered', {}, port(0)],
    ['is the wanted one when it is free', { wanted: 4242 }, port(4242)],
    ['is the remembered one before the wanted one', { wanted: 4242, remembered: 5000 }, port(5000)],
    ['is the remembered one when any will do', { wanted: 0, remembered: 5000 }, port(5000)],
    ['is the remembered one although another team remembers it', { remembered: 5000, kept: [5000] }, port(5000)],
    ['goes back to the wanted one', { wanted: 4242, remembered: 5000, taken: [5000] }, port(4242, 5000)],
    ['moves to the next free one', { wanted: 4242, taken: [4242, 4243] }, port(4244, 4242)],
    ['moves past what another team remembers', { wanted: 4242, taken: [4242], kept: [4243] }, port(4244, 4242)],
    ['moves from a remembered one', { remembered: 5000, taken: [5000] }, port(5001, 5000)],
    ['never moves among the ports of the system', { wanted: 53, taken: [53] }, port(1024, 53)],
    ['starts again behind the last one', { wanted: PORT_MAX, taken: [PORT_MAX, 1024] }, port(1025, PORT_MAX)],
    ['forgets a remembered number that is none', { wanted: 4242, remembered: 70_000 }, port(4242)],
    ['forgets a remembered fraction', { remembered: 4242.5 }, port(0)],
  ])('%s', (_, given, expected) => {
    expect(choose(given)).toEqual(expected);
  });

  it('is none when all are taken', () => {
    const all = { isTaken: () => true, isKept: () => false };
    expect(choosePort({ remembered: undefined, wanted: 4242, ...all })).toEqual({ kind: 'none', movedFrom: 4242 });
  });

  it('chosen is never taken, whatever is remembered and wanted', () => {
    const few = fc.oneof(
      fc.integer({ min: -1, max: 3 }),
      fc.integer({ min: 1020, max: 1030 }),
      fc.constantFrom(65_534, 65_535, 65_536),
    );
    fc.assert(
      fc.property(
        fc.option(few, { nil: undefined }),
        fc.option(few, { nil: undefined }),
        fc.array(few),
        (remembered, wanted, taken) => {
          const choice = choosePort({ remembered, wanted, isTaken: (one) => taken.includes(one), isKept: () => false });
          if (choice.kind === 'none') throw new Error('there are free ports');
          expect(choice.port === 0 || (isPort(choice.port) && !taken.includes(choice.port))).toBe(true);
          expect(choice.port === 0).toBe(!isPort(remembered) && !isPort(wanted));
        },
      ),
    );
  });
});
