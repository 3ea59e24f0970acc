import { objectOf, oneOf, type Shape } from '../schema/shape.ts';
import { METRICS_TYPE, type RestMetrics } from './metrics.ts';
import { describeApi } from './openapi.ts';
import { defineRoute, type RestApi, type Route } from './route.ts';

/** What the paths that every server has tell about it. */
export interface CommonFacts {
  readonly version: string;
  readonly metrics: RestMetrics;
  readonly uptimeMs: () => number;
}

interface Health {
  readonly status: 'ok';
}

const healthShape: Shape<Health> = objectOf<Health>({ status: oneOf(['ok']) });
const PLAIN = { target: undefined, query: undefined, body: undefined, codes: [] };

/** The routes of an API and those that every server has beside them: documentation, health and metrics. */
export function withCommonRoutes(api: RestApi, facts: CommonFacts): readonly Route[] {
  const routes: Route[] = [...api.routes, health(), metricsOf(api, facts)];
  let document: unknown;
  // Frozen: its text is made once.
  const describe = () =>
    (document ??= Object.freeze(describeApi({ title: api.title, version: facts.version, routes })));
  routes.push(documentation(describe));
  return routes;
}

function documentation(describe: () => unknown): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/openapi.json',
    operationId: 'getDocumentation',
    summary: 'This document',
    answer: { kind: 'json', name: 'OpenApi', shape: objectOf<object>({}), example: undefined },
    handle: async () => describe(),
  });
}

function health(): Route {
  const answer: Health = { status: 'ok' };
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/healthz',
    operationId: 'getHealth',
    summary: 'Whether the server answers',
    answer: { kind: 'json', name: 'Health', shape: healthShape, example: answer },
    handle: async () => answer,
  });
}

function metricsOf(api: RestApi, { metrics, uptimeMs }: CommonFacts): Route {
  return defineRoute({
    ...PLAIN,
    method: 'GET',
    path: '/metrics',
    operationId: 'getMetrics',
    summary: 'Counts, in the text format of Prometheus',
    answer: { kind: 'text', contentType: METRICS_TYPE, example: 'heddle_rest_interfaces 1\n' },
    handle: async () => {
      // The kernel may refuse; the other figures are as good without it.
      const interfaceCount = await api.countInterfaces().catch(() => undefined);
      return metrics.format({ interfaceCount, residentBytes: process.memoryUsage.rss(), uptimeMs: uptimeMs() });
    },
  });
}
