/**
 * Which route a path belongs to. The path is split at `/` as it came and each part is decoded once after that, so an
 * escaped slash stays within its part. One slash at the end says nothing.
 */

import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Route } from './route.ts';

/** Methods of one path; HEAD is answered as GET. */
export interface PathMatch {
  readonly routes: ReadonlyMap<string, Route>;
  /** See {@link RouteCall}. */
  readonly target: string;
}

interface Pattern {
  readonly literals: readonly string[];
  readonly targetPartsMax: 0 | 1 | 2;
  readonly routes: Map<string, Route>;
}

export class RouteTable {
  readonly #exact = new Map<string, PathMatch>();
  readonly #patterns: readonly Pattern[];

  constructor(routes: readonly Route[]) {
    const patterns = new Map<string, Pattern>();
    for (const route of routes) {
      const pattern = patterns.get(route.path) ?? toPattern(route);
      if (pattern.routes.has(route.method)) throw new TypeError(`Two routes for ${route.method} ${route.path}`);
      pattern.routes.set(route.method, route);
      patterns.set(route.path, pattern);
    }
    this.#patterns = [...patterns.values()].filter(({ targetPartsMax }) => targetPartsMax > 0);
    for (const [path, { targetPartsMax, routes: found }] of patterns) {
      if (targetPartsMax === 0) this.#exact.set(path, { routes: found, target: '' });
    }
  }

  /**
   * @param path As it came, without the query string.
   * @throws {TailnetError} `rest/no-such-path`, `rest/bad-request` if a part cannot be decoded.
   */
  find(path: string): PathMatch {
    const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
    return this.#exact.get(trimmed) ?? this.#findPattern(trimmed);
  }

  #findPattern(path: string): PathMatch {
    const parts = path.split('/', PART_COUNT_MAX).slice(1).map(decodePart);
    const literal = this.#exact.get(`/${parts.join('/')}`);
    if (literal !== undefined && !parts.some((part) => part.includes('/'))) return literal;
    for (const { literals, targetPartsMax, routes } of this.#patterns) {
      const rest = parts.slice(literals.length);
      const isMatch = rest.length > 0 && rest.length <= targetPartsMax && !rest.includes('');
      if (isMatch && literals.every((part, i) => part === parts[i])) return { routes, target: rest.join('/') };
    }
    throw new TailnetError('rest/no-such-path', 'There is nothing at this path');
  }
}

/** More than any route has. */
const PART_COUNT_MAX = 8;

function toPattern({ path, target }: Route): Pattern {
  const parts = path.split('/').slice(1);
  const literals = target === undefined ? parts : parts.slice(0, -1);
  return { literals, targetPartsMax: target?.partCountMax ?? 0, routes: new Map() };
}

function decodePart(part: string): string {
  const text = decodePercent(part);
  // No name of anything has control characters, and they must not get into a log.
  if (text === undefined || /\p{Cc}/u.test(text)) {
    throw new TailnetError('rest/bad-request', 'The path is not text in UTF-8 with percent signs escaped as %25');
  }
  return text;
}

function decodePercent(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
