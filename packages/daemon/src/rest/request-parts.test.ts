import type { IncomingMessage } from 'node:http';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeSubnetService } from '../../test/fake-interfaces.ts';
import { problemShape } from '../schema/interface-api.ts';
import { integerOf, schemaOf } from '../schema/shape.ts';
import { FailureGate } from './failure-gate.ts';
import { subnetRoutes } from './interface-routes.ts';
import { clipText, describeError, toProblem } from './problem.ts';
import { OwnNames } from './request-origin.ts';
import { fromText } from './route.ts';
import { RouteTable } from './route-table.ts';

const { routes } = subnetRoutes(new FakeSubnetService());

/** The code of what a call throws, if it throws at all. */
function codeOf(call: () => unknown): string {
  try {
    call();
    return 'none';
  } catch (error) {
    return error instanceof TailnetError ? error.code : `not ours: ${error}`;
  }
}

describe('a table of routes', () => {
  const table = new RouteTable(routes);

  it('finds something, nothing or a bad path, and never fails otherwise', () => {
    const part = fc.oneof(fc.constantFrom('subnet', 'free', '%2F', '%', '', '10.1.0.0'), fc.string());
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const code = codeOf(() => table.find(`/${parts.join('/')}`));
        expect(['none', 'rest/no-such-path', 'rest/bad-request']).toContain(code);
      }),
    );
  });

  it('decodes each part once, whatever is in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        fc.pre(text !== 'free' && !/\p{Cc}/u.test(text));
        expect(table.find(`/subnet/${encodeURIComponent(text)}`).target).toBe(text);
      }),
    );
  });

  it('has one route for a method and path', () => {
    expect(() => new RouteTable([...routes, ...routes])).toThrow(TypeError);
  });
});

describe('the own names of a server', () => {
  const names = new OwnNames(3030);
  const check = (headers: Record<string, string>) =>
    codeOf(() => names.check({ headers, rawHeaders: Object.entries(headers).flat() } as unknown as IncomingMessage));

  it('are no others that only look like it', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('localhost', '127.0.0.1', '[::1]'), (text, host) => {
        fc.pre(text !== '' && text !== ':3030');
        expect(check({ host: `${host}${text}` })).toBe('rest/foreign-host');
        expect(check({ host: `${text}${host}` })).toBe('rest/foreign-host');
        expect(check({ host, origin: `http://${host}:3030${text}` })).toBe('rest/foreign-origin');
      }),
    );
    expect(check({ host: 'localhost:3030', origin: 'http://[::1]:3030' })).toBe('none');
  });

  it('are looked for in any target, and the path is taken out of it', () => {
    expect(names.readTarget('/tun?a=b?c')).toEqual({ path: '/tun', query: 'a=b?c' });
    expect(names.readTarget('HTTP://LocalHost:3030?x')).toEqual({ path: '/', query: 'x' });
    fc.assert(
      fc.property(fc.string(), (target) => {
        const code = codeOf(() => names.readTarget(target));
        expect(['none', 'rest/bad-request', 'rest/foreign-host']).toContain(code);
      }),
    );
  });
});

describe('a problem', () => {
  it('comes of anything that is thrown', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything({ withNullPrototype: true }),
          fc.string().map((text) => new Error(text)),
        ),
        (thrown) => {
          const problem = toProblem(thrown);
          expect(problemShape(problem).kind).toBe('ok');
          expect(problem).toMatchObject({ status: 500, code: 'rest/internal', detail: toProblem(undefined).detail });
          expect(describeError(thrown)).not.toMatch(/\p{Cc}/u);
        },
      ),
    );
  });

  it('has words of bounded length without control characters', () => {
    const { detail } = toProblem(new TailnetError('tun/unknown', `a\u0000\u001b[31m\u202e\n${'x'.repeat(9_000)}`));
    expect(detail).toHaveLength(512);
    expect(detail).toMatch(/^a {2}\[31m {2}x+…$/);
    expect(clipText('abc', 3)).toBe('abc');
  });
});

describe('a number of a query', () => {
  it('is read from digits alone, and described as a number', () => {
    const shape = fromText(integerOf(8, 30));
    expect(schemaOf(shape)).toEqual({ type: 'integer', minimum: 8, maximum: 30 });
    expect(shape('08')).toEqual({ kind: 'ok', value: 8 });
    for (const value of ['', ' 8', '8.0', '+8', '0x8', '8e0', '7', '31', ['8'], '9'.repeat(16)]) {
      expect(shape(value).kind).toBe('bad');
    }
  });
});

describe('a gate for failures', () => {
  it('tells codes apart', () => {
    const gate = new FailureGate();
    expect([gate.admit('a', 0), gate.admit('b', 0), gate.admit('a', 999), gate.admit('a', 1_000)]).toEqual([
      0,
      0,
      undefined,
      1,
    ]);
  });
});
