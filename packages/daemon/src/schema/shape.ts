/**
 * Checks of values that came as JSON from another process. A shape reads a value into a fresh one that holds only what
 * the shape names, so unknown fields do not travel on.
 *
 * Error contract: a shape never throws; it says where the first misfit is and what belongs there, never what it found
 * (the value may be a secret). Shapes nest no deeper than they are written, so neither does the check.
 *
 * A shape also describes itself as JSON Schema 2020-12, so that what is checked and what is documented have one source.
 * The schema may take more than the check, never less. It is made when it is asked for; checking costs nothing extra.
 */

export type ShapeResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  /** `path` is the field, `peers.3.name`; empty for the value itself. */
  | { readonly kind: 'bad'; readonly path: string; readonly expected: string };

/** One object of JSON Schema 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A check of one value. Plain functions are shapes too; {@link schemaOf} them takes anything. */
export interface Shape<T> {
  (value: unknown): ShapeResult<T>;
  readonly schema?: (() => JsonSchema) | undefined;
}

/** A shape for every field; those of optional fields are made by {@link optional}. */
export type FieldShapes<T> = { readonly [K in keyof T]-?: Shape<T[K]> };

type Fields = Readonly<Record<string, unknown>>;

/** Describes what a shape takes. */
export function schemaOf(shape: Shape<unknown>): JsonSchema {
  return shape.schema?.() ?? {};
}

/** The same check, with more keywords in its schema: `default`, `examples`, `format`. They are not checked. */
export function described<T>(shape: Shape<T>, keywords: JsonSchema): Shape<T> {
  return shaped(
    () => ({ ...schemaOf(shape), ...keywords }),
    (value) => shape(value),
  );
}

/** Any JSON value. */
export const anything: Shape<unknown> = ok;

export const flag: Shape<boolean> = shaped(
  () => ({ type: 'boolean' }),
  (value) => (typeof value === 'boolean' ? ok(value) : bad('true or false')),
);

export const number: Shape<number> = shaped(
  () => ({ type: 'number' }),
  (value) => (Number.isFinite(value) ? ok(value as number) : bad('a number')),
);

export const text: Shape<string> = shaped(
  () => ({ type: 'string' }),
  (value) => (typeof value === 'string' ? ok(value) : bad('a text')),
);

/** A text of so many UTF-16 units, limits included. */
export function textOf(lengthMin: number, lengthMax: number): Shape<string> {
  return shaped(
    // JSON Schema counts code points, of which a text has at least half as many.
    () => ({ type: 'string', minLength: Math.ceil(lengthMin / 2), maxLength: lengthMax }),
    (value) => {
      const isFit = typeof value === 'string' && value.length >= lengthMin && value.length <= lengthMax;
      return isFit ? ok(value) : bad(`a text of ${lengthMin} to ${lengthMax} characters`);
    },
  );
}

/** @param expected What the pattern stands for, in words. */
export function textLike(pattern: RegExp, expected: string): Shape<string> {
  return shaped(
    () => ({ type: 'string', pattern: pattern.source }),
    (value) => (typeof value === 'string' && pattern.test(value) ? ok(value) : bad(expected)),
  );
}

/** A whole number within the limits, both included. */
export function integerOf(min: number, max: number): Shape<number> {
  return shaped(
    () => ({ type: 'integer', minimum: min, maximum: max }),
    (value) => {
      const isFit = Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
      return isFit ? ok(value as number) : bad(`a whole number from ${min} to ${max}`);
    },
  );
}

export function oneOf<const T extends string | number | boolean>(choices: readonly T[]): Shape<T> {
  return shaped(
    () => ({ enum: choices }),
    (value) => (choices.includes(value as T) ? ok(value as T) : bad(choices.join(', '))),
  );
}

/** A missing field fits as well, and stays missing. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return shaped(
    () => schemaOf(shape),
    (value) => (value === undefined ? ok(undefined) : shape(value)),
  );
}

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return shaped(
    () => orNull(schemaOf(shape)),
    (value) => (value === null ? ok(null) : shape(value)),
  );
}

/** The first of two shapes that fits. */
export function either<A, B>(first: Shape<A>, second: Shape<B>): Shape<A | B> {
  return shaped<A | B>(
    () => ({ anyOf: [schemaOf(first), schemaOf(second)] }),
    (value) => {
      const result = first(value);
      return result.kind === 'ok' ? result : second(value);
    },
  );
}

export function listOf<T>(item: Shape<T>, lengthMax: number = Number.POSITIVE_INFINITY): Shape<readonly T[]> {
  const limit = Number.isFinite(lengthMax) ? { maxItems: lengthMax } : {};
  return shaped<readonly T[]>(
    () => ({ type: 'array', items: schemaOf(item), ...limit }),
    (value) => {
      if (!Array.isArray(value)) return bad('a list');
      if (value.length > lengthMax) return bad(`a list of at most ${lengthMax}`);
      const items: T[] = [];
      for (const [i, entry] of value.entries()) {
        const result = item(entry);
        if (result.kind === 'bad') return within(String(i), result);
        items.push(result.value);
      }
      return ok(items);
    },
  );
}

/** An object whose fields, whatever their names, have one shape. */
export function recordOf<T>(item: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return shaped<Readonly<Record<string, T>>>(
    () => ({ type: 'object', additionalProperties: schemaOf(item) }),
    (value) => {
      if (!isObject(value)) return bad('an object');
      const entries: [string, T][] = [];
      for (const [name, entry] of Object.entries(value)) {
        const result = item(entry);
        if (result.kind === 'bad') return within(name, result);
        entries.push([name, result.value]);
      }
      return ok(Object.fromEntries(entries));
    },
  );
}

export function objectOf<T>(fields: FieldShapes<T>): Shape<T> {
  const shapes = Object.entries(fields) as [string, Shape<unknown>][];
  return shaped<T>(
    () => objectSchema(shapes),
    (value) => {
      if (!isObject(value)) return bad('an object');
      const entries: [string, unknown][] = [];
      for (const [name, shape] of shapes) {
        const result = shape(Object.hasOwn(value, name) ? value[name] : undefined);
        if (result.kind === 'bad') return within(name, result);
        if (result.value !== undefined) entries.push([name, result.value]);
      }
      return ok(Object.fromEntries(entries) as T);
    },
  );
}

/** An object whose field `tag` tells which shape it has: `shapes` has one for each value, as text. */
export function taggedBy<T>(tag: string, shapes: Readonly<Record<string, Shape<T>>>): Shape<T> {
  return shaped<T>(
    () => ({ type: 'object', required: [tag], oneOf: Object.entries(shapes).map((entry) => taggedSchema(tag, entry)) }),
    (value) => {
      if (!isObject(value)) return bad('an object');
      const name = String(Object.hasOwn(value, tag) ? value[tag] : undefined);
      const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
      return shape?.(value) ?? within(tag, bad(Object.keys(shapes).join(', ')));
    },
  );
}

function orNull(schema: JsonSchema): JsonSchema {
  return typeof schema['type'] === 'string' ? { ...schema, type: [schema['type'], 'null'] } : { anyOf: [schema, NULL] };
}

const NULL: JsonSchema = { type: 'null' };

// A field that need not be there is one whose check takes `undefined`.
function objectSchema(shapes: readonly (readonly [string, Shape<unknown>])[]): JsonSchema {
  const required = shapes.filter(([, shape]) => shape(undefined).kind === 'bad').map(([name]) => name);
  const properties = Object.fromEntries(shapes.map(([name, shape]) => [name, schemaOf(shape)]));
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }), additionalProperties: true };
}

// The tag is compared as text, so `true` and `'true'` choose the same shape.
function taggedSchema(tag: string, [name, shape]: readonly [string, Shape<unknown>]): JsonSchema {
  const values = name === 'true' || name === 'false' ? [name === 'true', name] : [name];
  return { allOf: [{ properties: { [tag]: { enum: values } } }, schemaOf(shape)] };
}

function shaped<T>(schema: () => JsonSchema, check: (value: unknown) => ShapeResult<T>): Shape<T> {
  return Object.assign(check, { schema });
}

function ok<T>(value: T): ShapeResult<T> {
  return { kind: 'ok', value };
}

type Misfit = Extract<ShapeResult<never>, { kind: 'bad' }>;

function bad(expected: string): Misfit {
  return { kind: 'bad', path: '', expected };
}

function within(name: string, misfit: Misfit): Misfit {
  return { ...misfit, path: misfit.path === '' ? name : `${name}.${misfit.path}` };
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
