import type { Caller } from '../interfaces/interface-service.ts';
import type { InterfaceCode } from '../schema/interface-codes.ts';
import type { JsonSchema, Shape } from '../schema/shape.ts';

/** What a route is asked, all of it checked. */
export interface RouteCall<Q, B> {
  /** The part of the path that stands for `{…}`, decoded once; empty for a route without. */
  readonly target: string;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
}

/** The `{…}` at the end of a path. */
export interface PathTarget {
  readonly description: string;
  readonly example: string;
  readonly schema: JsonSchema;
  /** So many parts of the path are taken together: 2 for networks, whose `/` need not be escaped. */
  readonly partCountMax: 1 | 2;
}

export type RouteAnswer =
  | { readonly kind: 'none' }
  | { readonly kind: 'text'; readonly contentType: string; readonly example: string }
  | { readonly kind: 'json'; readonly name: string; readonly shape: Shape<unknown>; readonly example: unknown }
  /** `name` and `shape` are of one item. */
  | { readonly kind: 'json-list'; readonly name: string; readonly shape: Shape<unknown>; readonly example: unknown };

/** A body that a request may have; left out, it is the empty object. */
export interface RouteBody<B> {
  readonly name: string;
  readonly shape: Shape<B>;
  /** By title; the first is what the documentation shows. */
  readonly examples: Readonly<Record<string, B>>;
}

/** One method at one path: what it takes, answers and refuses. Everything that is documented is made of it. */
export interface Route<Q = unknown, B = unknown> {
  /** GET changes nothing, and everybody may ask it; the others are for those who may change things. */
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `/tun` or `/tun/{name}`: literal parts, and at most one `{…}`, at the end. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly target: PathTarget | undefined;
  /** Of the query string; its fields are read from text. */
  readonly query: Shape<Q> | undefined;
  readonly body: RouteBody<B> | undefined;
  readonly answer: RouteAnswer;
  /** What it refuses, beside what every route does. */
  readonly codes: readonly InterfaceCode[];
  /** @throws {TailnetError} Of one of `codes`. */
  handle(call: RouteCall<Q, B>): Promise<unknown>;
}

/** What one REST server offers, beside the paths that every server has. */
export interface RestApi {
  readonly title: string;
  readonly routes: readonly Route[];
  /** For the metrics. */
  readonly countInterfaces: () => Promise<number>;
}

/** Checks that handler and shapes of a route belong together; the types of both are of no more use after it. */
export function defineRoute<Q, B>(route: Route<Q, B>): Route {
  return route;
}

/** Takes numbers as the text that a query string has. */
export function fromText<T>(shape: Shape<T>): Shape<T> {
  const read = (value: unknown) => (typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value);
  return Object.assign((value: unknown) => shape(read(value)), { schema: shape.schema });
}
