import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FakeSubnetService, FakeTunService } from '../../test/fake-interfaces.ts';
import { problemShape } from '../schema/interface-api.ts';
import { INTERFACE_CODES } from '../schema/interface-codes.ts';
import { withCommonRoutes } from './common-routes.ts';
import { subnetRoutes, tunRoutes } from './interface-routes.ts';
import { RestMetrics } from './metrics.ts';
import { describeApi } from './openapi.ts';
import { startRestServer } from './rest-server.ts';
import type { RestApi, Route } from './route.ts';

const APIS: readonly RestApi[] = [tunRoutes(new FakeTunService()), subnetRoutes(new FakeSubnetService())];

/** The program that judges HTTP APIs by their documents (https://schemathesis.io), if there is one. */
const SCHEMATHESIS = process.env['HEDDLE_SCHEMATHESIS'] ?? 'schemathesis';
const hasSchemathesis = spawnSync(SCHEMATHESIS, ['--version']).status === 0;

function routesOf(api: RestApi): readonly Route[] {
  return withCommonRoutes(api, { version: '1.2.3', metrics: new RestMetrics(), uptimeMs: () => 0 });
}

interface Operation {
  readonly operationId: string;
  readonly security?: unknown;
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Content>> }>>;
}

interface Content {
  readonly schema: unknown;
  readonly examples?: Readonly<Record<string, { readonly summary: string; readonly value: unknown }>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

// As a client gets it.
function documentOf(api: RestApi): Document {
  const document = describeApi({ title: api.title, version: '1.2.3', routes: routesOf(api) });
  return JSON.parse(JSON.stringify(document)) as Document;
}

const operationsOf = ({ paths }: Document): readonly (readonly [string, Operation])[] =>
  Object.values(paths).flatMap((path) => Object.entries(path));

describe.each(APIS)('the document of the $title', (api) => {
  const document = documentOf(api);

  it('has every route once, under a name of its own', () => {
    const operations = operationsOf(document);
    expect(document).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } });
    expect(operations).toHaveLength(routesOf(api).length);
    expect(new Set(operations.map(([, { operationId }]) => operationId)).size).toBe(operations.length);
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/openapi.json', '/healthz', '/metrics']));
  });

  it('refers only to schemas that are in it', () => {
    const names = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name,
    );
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !Object.hasOwn(document.components.schemas, name as string))).toEqual([]);
  });

  it('shows each problem under its status, as it would be sent', () => {
    for (const [, { responses }] of operationsOf(document)) {
      for (const [status, { content }] of Object.entries(responses)) {
        for (const { value } of Object.values(content?.['application/problem+json']?.examples ?? {})) {
          expect(problemShape(value).kind).toBe('ok');
          expect(value).toMatchObject({ status: Number(status) });
        }
      }
    }
  });

  it('asks for the token where it may help, and nowhere forces it', () => {
    for (const [method, { security }] of operationsOf(document)) {
      expect(security).toEqual(method === 'get' ? undefined : [{}, { token: [] }]);
    }
  });

  it('gives examples of requests that the server takes', () => {
    for (const { body } of api.routes) {
      for (const example of Object.values(body?.examples ?? {})) expect(body?.shape(example).kind).toBe('ok');
    }
  });

  it.skipIf(!hasSchemathesis)('convinces schemathesis (where it is installed)', { timeout: 240_000 }, async () => {
    const server = await startRestServer({
      port: 0,
      api,
      version: '1.2.3',
      identify: () => ({ uid: 0 }),
      isOperator: () => false,
      token: () => undefined,
      log: () => {},
      nowMs: () => 0,
      answerTimeoutMs: undefined,
    });
    const config = fileURLToPath(new URL('../../test/schemathesis.toml', import.meta.url));
    const url = `http://127.0.0.1:${server.port}/openapi.json`;
    const args = ['--config-file', config, 'run', url, '--checks', 'all', '--max-examples', '20'];
    const report = await new Promise<string>((resolve) => {
      execFile(SCHEMATHESIS, args, { timeout: 200_000, cwd: '/tmp' }, (error, out) =>
        resolve(error === null ? '' : out),
      );
    });
    await server.close();
    expect(report).toBe('');
  });
});

describe('the documents together', () => {
  it('have every code of the API but those of paths and methods that are not in them', () => {
    const text = APIS.map((api) => JSON.stringify(documentOf(api))).join('');
    const missing = Object.keys(INTERFACE_CODES).filter((code) => !text.includes(`urn:heddle:${code}"`));
    expect(missing.sort()).toEqual(['rest/method-not-allowed', 'rest/no-such-path']);
  });
});
