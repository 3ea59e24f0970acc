import { describe, expect, it } from 'vitest';
import { problemShape, subnetRequestShape, tunRequestShape } from './interface-api.ts';
import {
  anything,
  described,
  either,
  flag,
  integerOf,
  type JsonSchema,
  listOf,
  nullable,
  number,
  objectOf,
  oneOf,
  optional,
  recordOf,
  type Shape,
  schemaOf,
  taggedBy,
  text,
  textLike,
  textOf,
} from './shape.ts';

describe('the schema of a shape', () => {
  const letters = textLike(/^[a-z]+$/, 'letters');
  const cases: [string, Shape<unknown>, JsonSchema][] = [
    ['anything', anything, {}],
    ['a plain function', (value) => ({ kind: 'ok', value }), {}],
    ['flag', flag, { type: 'boolean' }],
    ['number', number, { type: 'number' }],
    ['text', text, { type: 'string' }],
    ['textOf', textOf(3, 9), { type: 'string', minLength: 2, maxLength: 9 }],
    ['textLike', letters, { type: 'string', pattern: '^[a-z]+$' }],
    ['integerOf', integerOf(1, 9), { type: 'integer', minimum: 1, maximum: 9 }],
    ['oneOf', oneOf(['a', 'b']), { enum: ['a', 'b'] }],
    ['optional', optional(flag), { type: 'boolean' }],
    ['nullable', nullable(text), { type: ['string', 'null'] }],
    ['nullable of an enum', nullable(oneOf(['a'])), { anyOf: [{ enum: ['a'] }, { type: 'null' }] }],
    ['either', either(text, flag), { anyOf: [{ type: 'string' }, { type: 'boolean' }] }],
    ['listOf', listOf(text), { type: 'array', items: { type: 'string' } }],
    ['listOf with a limit', listOf(text, 2), { type: 'array', items: { type: 'string' }, maxItems: 2 }],
    ['recordOf', recordOf(flag), { type: 'object', additionalProperties: { type: 'boolean' } }],
    ['described', described(flag, { default: true }), { type: 'boolean', default: true }],
  ];
  it.each(cases)('of %s', (_name, shape, schema) => {
    expect(schemaOf(shape)).toStrictEqual(schema);
  });

  it('of an object asks for the fields whose check does, and takes others as the check does', () => {
    const shape = objectOf<{ a: boolean; b?: string | undefined; c: unknown }>({
      a: flag,
      b: optional(text),
      c: anything,
    });
    expect(schemaOf(shape)).toStrictEqual({
      type: 'object',
      properties: { a: { type: 'boolean' }, b: { type: 'string' }, c: {} },
      required: ['a'],
      additionalProperties: true,
    });
    expect(schemaOf(objectOf<{ a?: boolean | undefined }>({ a: optional(flag) }))).not.toHaveProperty('required');
  });

  it('of tagged shapes binds each to its tag', () => {
    const shape = taggedBy<unknown>('ok', { true: objectOf<unknown>({ x: number }), no: anything });
    const first = { properties: { ok: { enum: [true, 'true'] } } };
    expect(schemaOf(shape)).toMatchObject({
      type: 'object',
      required: ['ok'],
      oneOf: [{ allOf: [first, { type: 'object' }] }, { allOf: [{ properties: { ok: { enum: ['no'] } } }, {}] }],
    });
  });

  it('says more than the check where it is told to, and the check stays', () => {
    const shape = described(integerOf(1, 9), { default: 4 });
    expect(shape(9)).toStrictEqual({ kind: 'ok', value: 9 });
    expect(shape(10)).toMatchObject({ kind: 'bad' });
  });

  it('of the requests needs no field, that of a problem needs all', () => {
    expect(schemaOf(tunRequestShape)).not.toHaveProperty('required');
    expect(schemaOf(subnetRequestShape)).toMatchObject({ properties: { family: { enum: [4, 6] } } });
    expect(schemaOf(problemShape)).toMatchObject({ required: ['type', 'title', 'status', 'detail', 'code', 'next'] });
  });
});
