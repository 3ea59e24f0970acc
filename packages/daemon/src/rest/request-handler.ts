/**
 * One request from its first line to its answer:
 *
 *   host and origin ─▶ path ─▶ method ─▶ who asks ─▶ query and body ─▶ room for work ─▶ handler ─▶ answer
 *
 * The first that refuses ends it with a problem (RFC 9457); what is left of the body is read and forgotten.
 *
 * Error contract: nothing that a client sends and nothing that a handler throws gets past this class. An answer is late
 * after 10 s; the work behind it goes on, keeps its place among the 64 there are, and is logged when it ends.
 */

import { Buffer } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Caller } from '../interfaces/interface-service.ts';
import type { CallerCheck } from './caller-check.ts';
import { FailureGate } from './failure-gate.ts';
import type { RestMetrics } from './metrics.ts';
import { clipText, describeError, toProblem } from './problem.ts';
import { checkFields, checkFraming, checkLength, discardBody, readJsonBody } from './request-body.ts';
import type { OwnNames } from './request-origin.ts';
import type { Route, RouteBody } from './route.ts';
import type { RouteTable } from './route-table.ts';
import { type AnswerBody, sendAnswer } from './send-answer.ts';

/** Takes what happened; the words of clients in it are clipped and without control characters. */
export type RestLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields: Readonly<Record<string, string | number>>,
) => void;

export interface RequestHandlerOptions {
  readonly table: RouteTable;
  readonly names: OwnNames;
  readonly callers: CallerCheck;
  readonly metrics: RestMetrics;
  readonly log: RestLog;
  readonly answerTimeoutMs: number;
  /** Monotonic. */
  readonly nowMs: () => number;
}

const WORK_COUNT_MAX = 64;
const LOGGED_PATH_LENGTH_MAX = 200;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client waits for a word before it sends the body. */
  readonly isAwaited: boolean;
  route: Route | undefined;
  caller: Caller | undefined;
  /** Methods of the path, once one was found. */
  allowed: string | undefined;
}

export class RequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #failures = new FailureGate();
  #isClosing = false;

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
  }

  /** From now on every answer ends its connection. */
  close(): void {
    this.#isClosing = true;
  }

  /** @param isAwaited True for `Expect: 100-continue`. */
  async handle(request: IncomingMessage, response: ServerResponse, isAwaited: boolean): Promise<void> {
    response.on('error', () => {}); // The client has gone.
    const exchange: Exchange = {
      request,
      response,
      isAwaited,
      route: undefined,
      caller: undefined,
      allowed: undefined,
    };
    try {
      const value = await this.#work(exchange);
      this.#send(exchange, toAnswer((exchange.route as Route).answer, value));
    } catch (error) {
      this.#refuse(exchange, error);
    }
  }

  async #work(exchange: Exchange): Promise<unknown> {
    const { request } = exchange;
    const { names, table, metrics, callers } = this.#options;
    names.check(request);
    checkFraming(request);
    const { path, query } = names.readTarget(request.url ?? '');
    const { routes, target } = table.find(path);
    const route = chooseMethod(routes, exchange);
    const admission = callers.check(request, route);
    const caller = admission instanceof Promise ? await this.#inTime(admission) : admission;
    if (route.method !== 'GET') exchange.caller = caller;
    checkLength(request);
    const fields = route.query === undefined ? undefined : checkFields(readQuery(query), route.query);
    const body = route.body === undefined ? undefined : await this.#readBody(exchange, route.body);
    if (metrics.inWorkCount >= WORK_COUNT_MAX) throw new TailnetError('rest/busy', 'Too many requests at a time');
    // One that throws at once has not begun.
    const work = route.handle({ target, query: fields, body, caller });
    metrics.beginWork();
    this.#endWork(work, exchange);
    return await this.#inTime(work);
  }

  #readBody({ request, response, isAwaited }: Exchange, { shape }: RouteBody<unknown>): Promise<unknown> {
    return readJsonBody(request, shape, () => {
      if (isAwaited) response.writeContinue();
    });
  }

  // The place is free when the work is done, which may be later than its answer.
  #endWork(work: Promise<unknown>, exchange: Exchange): void {
    const end = (outcome: string) => {
      this.#options.metrics.endWork();
      if (exchange.response.statusCode === 503) this.#log('warn', `A late request ${outcome}`, exchange);
    };
    work.then(
      () => end('was done'),
      (error) => end(`failed: ${describeError(error)}`),
    );
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const late = () =>
        reject(new TailnetError('rest/busy', 'No answer in time; what was asked for may still happen'));
      const timer = setTimeout(late, this.#options.answerTimeoutMs);
      work.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  #refuse(exchange: Exchange, error: unknown): void {
    const problem = toProblem(error);
    const { status, code } = problem;
    const headers: string[] = [];
    if (status === 405 && exchange.allowed !== undefined) headers.push('allow', exchange.allowed);
    if (status === 503) headers.push('retry-after', '1');
    const content = JSON.stringify(problem);
    this.#send(exchange, { status, contentType: 'application/problem+json', content, headers });
    if (status < 500) return;
    const leftOut = this.#failures.admit(code, this.#options.nowMs());
    if (leftOut === undefined) return;
    const level = status === 500 ? 'error' : 'warn';
    this.#log(level, 'A request failed', exchange, { code, reason: describeError(error), leftOut });
  }

  #send(exchange: Exchange, answer: AnswerBody): void {
    const { request, response, route, isAwaited } = exchange;
    this.#options.metrics.countAnswer(route === undefined ? undefined : `${route.method} ${route.path}`, answer.status);
    if (response.headersSent || response.destroyed) return;
    // A client that was not told to go on may send the body or not: the connection is of no more use.
    sendAnswer(response, answer, this.#isClosing || (isAwaited && !request.readableEnded));
    discardBody(request);
    if (answer.status < 300 && route !== undefined && route.method !== 'GET') {
      this.#log('info', 'Interfaces were changed', exchange);
    }
  }

  #log(
    level: 'info' | 'warn' | 'error',
    message: string,
    { request, response, caller }: Exchange,
    more: Readonly<Record<string, string | number>> = {},
  ): void {
    const who = caller === undefined ? {} : { user: caller.uid ?? 'token' };
    const path = clipText(request.url ?? '', LOGGED_PATH_LENGTH_MAX);
    const status = response.statusCode;
    this.#options.log(level, message, { ...who, method: clipText(request.method ?? '', 32), path, status, ...more });
  }
}

/** @throws {TailnetError} `rest/method-not-allowed`. */
function chooseMethod(routes: ReadonlyMap<string, Route>, exchange: Exchange): Route {
  const { method = '' } = exchange.request;
  const route = routes.get(method === 'HEAD' ? 'GET' : method);
  if (route === undefined) {
    exchange.allowed = [...routes.keys()].map((name) => (name === 'GET' ? 'GET, HEAD' : name)).join(', ');
    throw new TailnetError('rest/method-not-allowed', `This path takes ${exchange.allowed}`);
  }
  exchange.route = route;
  return route;
}

// Of a parameter that comes twice nobody knows which one is meant.
function readQuery(query: string): Readonly<Record<string, unknown>> {
  const parameters = new URLSearchParams(query);
  return Object.fromEntries(
    [...new Set(parameters.keys())].map((name) => {
      const values = parameters.getAll(name);
      return [name, values.length === 1 ? values[0] : values];
    }),
  );
}

function toAnswer(answer: Route['answer'], value: unknown): AnswerBody {
  switch (answer.kind) {
    case 'none':
      return { status: 204, contentType: undefined, content: '', headers: [] };
    case 'text':
      return { status: 200, contentType: answer.contentType, content: String(value), headers: [] };
    case 'json':
    case 'json-list':
      return { status: 200, contentType: JSON_TYPE, content: formatJson(value), headers: [] };
  }
}

/** Of frozen values, which are asked for again and again. */
const contents = new WeakMap<object, string | Uint8Array>();
/** From here on the bytes are kept, so that answers which wait to be taken share them. */
const SHARED_LENGTH_MIN = 16_384;

function formatJson(value: unknown): string | Uint8Array {
  if (typeof value !== 'object' || value === null || !Object.isFrozen(value)) return JSON.stringify(value);
  const known = contents.get(value);
  if (known !== undefined) return known;
  const text = JSON.stringify(value);
  const content = text.length < SHARED_LENGTH_MIN ? text : Buffer.from(text);
  contents.set(value, content);
  return content;
}

const JSON_TYPE = 'application/json; charset=utf-8';
