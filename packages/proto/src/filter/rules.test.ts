import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import vectors from '../../test/vectors/filter/verdicts.json' with { type: 'json' };
import { formatHex } from '../bytes/hex.ts';
import { parsePrefix } from '../ip/prefix.ts';
import { type AddressRange, parseFilterRules, rangeOfPrefix } from './rules.ts';

/** `{[6 17]}[src,src]=>[dst:first-last]`, the reference's text, as protocols and merged ranges. */
function readMatch(text: string) {
  const [, protocols = '', sources = '', destinations = ''] = /^\{\[([^\]]*)\]\}(.*)=>(.*)$/.exec(text)!;
  return {
    protocols: listOf(protocols, ' ').map(Number),
    sources: merge(listOf(sources, ',').map((prefix) => rangeOfPrefix(parsePrefix(prefix)!))),
    destinations: merge(listOf(destinations, ',').map((item) => readDestination(item).range)),
    ports: [...new Set(listOf(destinations, ',').map((item) => readDestination(item).ports))],
  };
}

function readDestination(text: string): { range: AddressRange; ports: string } {
  const at = text.lastIndexOf(':');
  const ports = text.slice(at + 1);
  return { range: rangeOfPrefix(parsePrefix(text.slice(0, at))!), ports: ports === '*' ? '0-65535' : ports };
}

function listOf(text: string, separator: string): string[] {
  return text
    .replace(/^\[|\]$/g, '')
    .split(separator)
    .filter((item) => item !== '');
}

/** Adjacent ranges joined, so that a range and the blocks that make it up compare equal. */
function merge(ranges: readonly AddressRange[]): string[] {
  const sorted = ranges
    .map(({ first, last }) => ({
      first: BigInt(`0x${formatHex(first)}`),
      last: BigInt(`0x${formatHex(last)}`),
      size: first.length,
    }))
    .toSorted((a, b) => a.size - b.size || (a.first < b.first ? -1 : 1));
  const merged: typeof sorted = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before !== undefined && before.size === range.size && before.last + 1n >= range.first) before.last = range.last;
    else merged.push(range);
  }
  return merged.map(({ first, last, size }) => `${size}:${first}-${last}`);
}

describe('parseFilterRules', () => {
  test.each(vectors.ruleParsing)('reads $rules as the reference does', ({ rules, matches }) => {
    const parsed = parseFilterRules(rules).map(({ protocols, sources, destinations }) => ({
      protocols,
      sources: merge(sources),
      destinations: merge(destinations.map(({ range }) => range)),
      ports: [
        ...new Set(
          destinations.map((d) => (d.firstPort === d.lastPort ? `${d.firstPort}` : `${d.firstPort}-${d.lastPort}`)),
        ),
      ],
    }));
    expect(parsed).toEqual((matches ?? []).map(readMatch));
  });

  test('accepts "Bits": null, which old servers send', () => {
    const json = [{ SrcIPs: ['*'], SrcBits: null, DstPorts: [{ IP: '*', Bits: null, Ports: { First: 1, Last: 2 } }] }];
    expect(parseFilterRules(json)[0]?.destinations).toHaveLength(2);
  });

  test('refuses all rules when one carries real legacy bits', () => {
    const good = { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 1, Last: 2 } }] };
    const legacy = { SrcIPs: ['10.0.0.1'], DstPorts: [{ IP: '10.0.0.0', Bits: 8, Ports: { First: 1, Last: 2 } }] };
    expect(parseFilterRules([good])).toHaveLength(1);
    expect(parseFilterRules([good, legacy])).toEqual([]);
  });

  test('keeps capability sources apart', () => {
    const [rule] = parseFilterRules([{ SrcIPs: ['cap:example.com/x', '100.64.0.1'], DstPorts: [] }]);
    expect(rule?.sourceCapabilities).toEqual(['example.com/x']);
    expect(rule?.sources).toHaveLength(1);
  });

  test('reads null, other types and missing fields as nothing', () => {
    expect(parseFilterRules(null)).toEqual([]);
    expect(parseFilterRules({})).toEqual([]);
    expect(parseFilterRules([null, 1, 'x', []])).toEqual([]);
    expect(parseFilterRules([{}])).toEqual([
      { protocols: [6, 17, 1, 58], sources: [], sourceCapabilities: [], destinations: [] },
    ]);
  });

  test('any JSON never throws', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => void parseFilterRules([{ SrcIPs: json, DstPorts: json, IPProto: json }])),
    );
    fc.assert(fc.property(fc.jsonValue(), (json) => void parseFilterRules(json)));
  });
});
