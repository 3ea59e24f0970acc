/** OpenAPI 3.1, made of the routes and their shapes: nothing of it is written by hand. */

import { problemShape } from '../schema/interface-api.ts';
import { INTERFACE_CODES, type InterfaceCode } from '../schema/interface-codes.ts';
import { type JsonSchema, schemaOf } from '../schema/shape.ts';
import { problemOf } from './problem.ts';
import type { PathTarget, Route, RouteAnswer } from './route.ts';

export interface ApiDescription {
  readonly title: string;
  readonly version: string;
  readonly routes: readonly Route[];
}

/** Of every route. A path that is in the document is never refused with 404 or 405 by the server itself. */
const ANY: readonly InterfaceCode[] = [
  'rest/bad-request',
  'rest/foreign-host',
  'rest/foreign-origin',
  'rest/bad-token',
  'rest/too-large',
  'rest/busy',
  'rest/internal',
];
const WRITE: readonly InterfaceCode[] = ['rest/forbidden', 'rest/no-identity'];
const BODY: readonly InterfaceCode[] = ['rest/bad-json', 'rest/bad-field', 'rest/unsupported-type'];

const DESCRIPTION =
  'Every local user may read. Changes are for root, the operators of daemon.yml and the holder of the token. ' +
  'HEAD is answered as GET. Fields that a request does not know are ignored, and so should those of an answer be.';

/** Describes an API as an OpenAPI document. */
export function describeApi({ title, version, routes }: ApiDescription): JsonSchema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: describeRoute(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title, version, description: DESCRIPTION, license: { name: 'BSD-3-Clause', identifier: 'BSD-3-Clause' } },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: describeSchemas(routes),
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'From the token file of the daemon' } },
    },
  };
}

function describeRoute(route: Route): JsonSchema {
  const { operationId, summary, method } = route;
  const parameters = [...describeTarget(route), ...describeQuery(route)];
  return {
    operationId,
    summary,
    // The empty alternative: the user who asks may be enough.
    ...(method === 'GET' ? {} : { security: [{}, { token: [] }] }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...describeBody(route),
    responses: { ...describeAnswer(route.answer), ...describeProblems(codesOf(route)) },
  };
}

function codesOf({ method, query, body, codes }: Route): readonly InterfaceCode[] {
  return [
    ...ANY,
    ...(method === 'GET' ? [] : WRITE),
    ...(body === undefined ? [] : BODY),
    ...(query === undefined ? [] : (['rest/bad-field'] as const)),
    ...codes,
  ];
}

function describeTarget({ path, target }: Route): readonly JsonSchema[] {
  return target === undefined ? [] : [describeTargetOf(path, target)];
}

function describeTargetOf(path: string, { description, schema, example }: PathTarget): JsonSchema {
  const name = path.slice(path.indexOf('{') + 1, -1);
  return { name, in: 'path', required: true, description, schema, example };
}

function describeQuery({ query }: Route): readonly JsonSchema[] {
  if (query === undefined) return [];
  const { properties } = schemaOf(query) as { readonly properties: Readonly<Record<string, JsonSchema>> };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: false,
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

function describeBody({ body }: Route): JsonSchema {
  if (body === undefined) return {};
  const examples = Object.fromEntries(Object.entries(body.examples).map(([title, value]) => [title, { value }]));
  const content = { 'application/json': { schema: refTo(body.name), examples: keysAsNames(examples) } };
  return { requestBody: { required: false, content } };
}

function describeAnswer(answer: RouteAnswer): JsonSchema {
  switch (answer.kind) {
    case 'none':
      return { 204: { description: 'Done' } };
    case 'text':
      return { 200: { description: 'Text', content: contentOf('text/plain', { type: 'string' }, answer.example) } };
    case 'json':
      return { 200: { description: answer.name, content: contentOf(JSON_TYPE, refTo(answer.name), answer.example) } };
    case 'json-list': {
      const schema = { type: 'array', items: refTo(answer.name) };
      return { 200: { description: `List of ${answer.name}`, content: contentOf(JSON_TYPE, schema, answer.example) } };
    }
  }
}

const JSON_TYPE = 'application/json';

function contentOf(type: string, schema: JsonSchema, example: unknown): JsonSchema {
  return { [type]: { schema, ...(example === undefined ? {} : { example }) } };
}

function describeProblems(codes: readonly InterfaceCode[]): JsonSchema {
  const byStatus = new Map<number, InterfaceCode[]>();
  for (const code of new Set(codes)) {
    const { status } = INTERFACE_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].map(([status, found]) => [status, describeStatus(found)]));
}

function describeStatus(codes: readonly InterfaceCode[]): JsonSchema {
  const titles = codes.map((code) => `\`${code}\`: ${INTERFACE_CODES[code].title}`);
  const examples = Object.fromEntries(codes.map((code) => [code, { value: problemOf(code, titleOf(code)) }]));
  const content = { 'application/problem+json': { schema: refTo('Problem'), examples: keysAsNames(examples) } };
  return { description: titles.join('. '), content };
}

function titleOf(code: InterfaceCode): string {
  return INTERFACE_CODES[code].title;
}

// OpenAPI leaves the names of examples free, generators make identifiers of them.
function keysAsNames(examples: Readonly<Record<string, { readonly value: unknown }>>): JsonSchema {
  return Object.fromEntries(
    Object.entries(examples).map(([title, example]) => [
      title.replaceAll(/[^A-Za-z0-9]+/g, '-'),
      { summary: title, ...example },
    ]),
  );
}

function describeSchemas(routes: readonly Route[]): JsonSchema {
  const schemas: Record<string, JsonSchema> = { Problem: schemaOf(problemShape) };
  for (const { body, answer } of routes) {
    if (body !== undefined) schemas[body.name] = schemaOf(body.shape);
    if (answer.kind === 'json' || answer.kind === 'json-list') schemas[answer.name] = schemaOf(answer.shape);
  }
  return schemas;
}

function refTo(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}
