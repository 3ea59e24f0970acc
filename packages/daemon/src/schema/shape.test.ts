import { describe, expect, it } from 'vitest';
import { engineConfigShape, startReportShape } from './engine-config.ts';
import { eventShape } from './event.ts';
import { replyBodyShapes, replyHeadShape } from './reply.ts';
import { parseRequest } from './request.ts';
import {
  anything,
  either,
  flag,
  integerOf,
  listOf,
  nullable,
  number,
  objectOf,
  oneOf,
  optional,
  recordOf,
  type Shape,
  taggedBy,
  text,
  textLike,
  textOf,
} from './shape.ts';

const fits = (shape: Shape<unknown>, value: unknown): boolean => shape(value).kind === 'ok';

describe('a shape', () => {
  const cases: [string, Shape<unknown>, readonly unknown[], readonly unknown[]][] = [
    ['flag', flag, [true, false], [0, 'true', null, undefined]],
    ['number', number, [0, -1.5], ['0', Number.NaN, Number.POSITIVE_INFINITY, null, undefined]],
    ['text', text, ['', 'x'], [1, null, undefined, ['x']]],
    ['textOf', textOf(1, 3), ['a', 'abc'], ['', 'abcd', 1]],
    ['textLike', textLike(/^[a-z]+$/, 'letters'), ['abc'], ['', 'A', 1, ['abc']]],
    ['integerOf', integerOf(1, 9), [1, 9], [0, 10, 1.5, '1', Number.NaN]],
    ['oneOf', oneOf(['a', 'b']), ['a', 'b'], ['c', ['a'], 'toString', undefined]],
    ['optional', optional(text), ['a', undefined], [null, 1]],
    ['nullable', nullable(text), ['a', null], [undefined, 1]],
    ['either', either(text, number), ['a', 1], [true, null]],
    ['listOf', listOf(number, 2), [[], [1, 2]], [[1, 2, 3], ['1'], { length: 0 }, 'ab', null]],
    ['recordOf', recordOf(number), [{}, { a: 1 }], [{ a: '1' }, [1], null, 'a']],
    ['objectOf', objectOf<{ a: number }>({ a: number }), [{ a: 1 }], [{}, [], null, 'a', { a: '1' }]],
    ['anything', anything, [null, 1, 'a', [], {}], []],
  ];
  for (const [name, shape, good, bad] of cases) {
    it(`${name} takes what fits and nothing else`, () => {
      expect(good.filter((value) => !fits(shape, value))).toEqual([]);
      expect(bad.filter((value) => fits(shape, value))).toEqual([]);
    });
  }

  it('drops fields it does not name and leaves out missing ones', () => {
    const shape = objectOf<{ a: number; b?: string | undefined }>({ a: number, b: optional(text) });
    expect(shape({ a: 1, c: 2 })).toStrictEqual({ kind: 'ok', value: { a: 1 } });
  });

  it('says where the first misfit is, without its value', () => {
    const shape = objectOf<unknown>({ peers: listOf(objectOf<unknown>({ name: text })) });
    const result = shape({ peers: [{ name: 'a' }, { name: 4711 }] });
    expect(result).toEqual({ kind: 'bad', path: 'peers.1.name', expected: 'a text' });
  });

  it('is chosen by its tag alone', () => {
    const shape = taggedBy<unknown>('kind', { a: objectOf<unknown>({ x: number }), b: objectOf<unknown>({ y: text }) });
    expect(fits(shape, { kind: 'b', y: '' })).toBe(true);
    expect(shape({ kind: 'a', y: '' })).toMatchObject({ path: 'x' });
    expect(shape({ kind: 'toString' })).toMatchObject({ path: 'kind', expected: 'a, b' });
    expect(shape({})).toMatchObject({ path: 'kind' });
  });

  it('does not take inherited properties for fields', () => {
    const shape = objectOf<unknown>({ toString: anything, a: optional(anything) });
    expect(shape({})).toStrictEqual({ kind: 'ok', value: {} });
    const record = recordOf(number)(JSON.parse('{"__proto__":1}'));
    expect(record.kind === 'ok' && Object.getPrototypeOf(record.value)).toBe(Object.prototype);
  });
});

describe('the messages of the socket', () => {
  const shapes: Shape<unknown>[] = [
    engineConfigShape,
    startReportShape,
    eventShape,
    replyHeadShape,
    ...Object.values(replyBodyShapes),
  ];

  it('never throw, whatever came', () => {
    const leaves = [null, true, 0, -1.5, '', 'x', [], {}];
    const names = ['ok', 'event', 'action', 'state', 'message', 'peers', 'line', 'fields', 'id', '__proto__', ''];
    const nested = leaves.flatMap((leaf) =>
      names.flatMap((name) => [[leaf], { [name]: leaf }, { ok: true, [name]: leaf }]),
    );
    for (const value of [
      ...leaves,
      ...nested,
      ...nested.map((inner) => ({ event: 'log', line: inner, ping: inner })),
    ]) {
      for (const shape of shapes) expect(['ok', 'bad']).toContain(shape(value).kind);
      expect(['ok', 'bad']).toContain(parseRequest(value).kind);
    }
  });

  it('are read as what was written', () => {
    const event = { event: 'state', state: 'running', addresses: ['100.64.0.1'], peer_count: 1, derp_home: 900 };
    expect(eventShape(JSON.parse(JSON.stringify(event)))).toStrictEqual({ kind: 'ok', value: event });
    const line = { time: 't', level: 'info', message: 'm', fields: { a: 1, b: 'x', c: true } };
    expect(eventShape({ event: 'log', line })).toStrictEqual({ kind: 'ok', value: { event: 'log', line } });
    expect(startReportShape({ ok: true, pid: 1 })).toStrictEqual({ kind: 'ok', value: { ok: true, pid: 1 } });
  });

  it('name the field of a request that is wrong', () => {
    expect(parseRequest({ ping: { peer: '' } })).toEqual({
      kind: 'bad',
      code: 'ipc/bad-request',
      message: 'Bad "peer": expected a text of 1 to 253 characters',
    });
    expect(parseRequest({ action: 'subscribe', events: ['state', 'x'] })).toMatchObject({
      message: 'Bad "events.1": expected state, log',
    });
  });
});
