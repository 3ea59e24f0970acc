import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Misbehaviour } from './misbehaviour.ts';
import { type ApiError, type NodeWish, type TeamNode, TeamOrganization } from './team-organization.ts';
import { createZip } from './zip-archive.ts';

export interface TeamApiOptions {
  /** Wall clock, also of the limits. */
  readonly nowMs: () => number;
  /** Plain HTTP without it. */
  readonly tls: { readonly key: string; readonly cert: string } | undefined;
}

/** What came in. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const HOUR_MS = 3_600_000;
const REGISTRATIONS_MAX_PER_ADDRESS = 5;
const REGISTRATIONS_MAX_PER_TEAM = 10;
const BODY_BYTES_MAX = 65_536;
const ROUTE =
  /^\/api\/org\/([^/]+)\/nodes\/(?:(register)|([^/]+)\/(download_config|checkin|renew_cert|security_groups))\/$/;

/**
 * A team server for tests: the documented routes, errors and limits, in memory. It does one wrong thing with the next
 * request where a test says so.
 */
export class TeamApiServer {
  readonly organizations: Map<string, TeamOrganization> = new Map();
  readonly requests: SeenRequest[] = [];
  /** Done instead of answering, first one first. */
  readonly misbehaviours: Misbehaviour[] = [];
  /** Where a client seems to come from; a test may move it. */
  clientAddress = '192.0.2.1';
  readonly #options: TeamApiOptions;
  readonly #server: Server;
  readonly #registrations = new Map<string, number[]>();

  constructor(options: TeamApiOptions) {
    this.#options = options;
    const handle = (request: IncomingMessage, response: ServerResponse): void => void this.#handle(request, response);
    this.#server = options.tls === undefined ? createServer(handle) : createTlsServer(options.tls, handle);
    this.#server.on('tlsClientError', () => {});
  }

  get url(): string {
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    return `${scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  addOrganization(slug: string, network = '10.90.0', addressCount = 200): TeamOrganization {
    const organization = new TeamOrganization({ slug, network, addressCount, nowMs: this.#options.nowMs });
    this.organizations.set(slug, organization);
    return organization;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    const body = await readBody(request);
    const { method = '', url = '', headers } = request;
    this.requests.push({ method, path: url, headers, body });
    const misbehaviour = this.misbehaviours.shift();
    if (misbehaviour !== undefined) misbehaviour(response);
    else send(response, this.#route(new URL(url, 'http://team.test'), { method, path: url, headers, body }));
  }

  #route(url: URL, request: SeenRequest): object {
    const match = ROUTE.exec(url.pathname);
    if (match === null) return NOT_FOUND;
    const [, slug = '', isRegister, id = '', action = ''] = match;
    if (isRegister !== undefined) {
      if (request.method !== 'POST') return NOT_ALLOWED;
      return this.#register(slug, request);
    }
    const organization = this.organizations.get(slug);
    if (organization === undefined) return NOT_FOUND;
    const token = bearerOf(request);
    if (token === undefined) return UNAUTHORIZED;
    const caller = [...organization.nodes.values()].find(({ apiToken }) => apiToken === token);
    if (caller === undefined) return FORBIDDEN;
    if (String(caller.id) !== id) return NOT_FOUND;
    return this.#act(organization, caller, { action, method: request.method, format: url.searchParams.get('format') });
  }

  #act(
    organization: TeamOrganization,
    node: TeamNode,
    { action, method, format }: { action: string; method: string; format: string | null },
  ): object {
    // A node's token is for these two only.
    if (action !== 'checkin' && action !== 'download_config') return FORBIDDEN;
    if (method !== (action === 'checkin' ? 'POST' : 'GET')) return NOT_ALLOWED;
    if (action === 'checkin') {
      node.lastCheckinUnixMs = this.#options.nowMs();
      return { success: true, last_checkin: new Date(node.lastCheckinUnixMs).toISOString() };
    }
    const content = organization.packageOf(node);
    if (format !== 'zip') return content;
    return createZip({
      'ca.crt': String(content['ca_certificate']),
      'node.crt': node.certificate,
      'node.key': node.key,
      'config.yml': String(content['config_yaml']),
    });
  }

  #register(slug: string, request: SeenRequest): object {
    const fields = parseFields(request.body);
    if (fields === undefined) return validation({ non_field_errors: ['Invalid JSON.'] });
    const limited = this.#limit(typeof fields['organization_slug'] === 'string' ? fields['organization_slug'] : slug);
    if (limited !== undefined) return limited;
    const organization = this.organizations.get(slug);
    const isTokenFlow = 'registration_token' in fields;
    const bearer = bearerOf(request);
    const isMember = [...this.organizations.values()].some(
      ({ members }) => bearer !== undefined && members.has(bearer),
    );
    if (!isTokenFlow && !isMember) return AUTHENTICATION_REQUIRED;
    const invalid = validate(fields, isTokenFlow);
    if (invalid !== undefined) return invalid;
    if (organization === undefined) {
      return { status: 404, title: 'Organization Not Found', detail: `Organization "${slug}" does not exist.` };
    }
    if (!isTokenFlow && !organization.members.has(bearer ?? '')) {
      return { status: 403, title: 'Access Denied', detail: `You do not have access to organization "${slug}".` };
    }
    const token = isTokenFlow ? String(fields['registration_token']) : undefined;
    const refusal = token === undefined ? undefined : organization.refuseToken(token);
    if (refusal !== undefined) return refusal;
    const node = organization.createNode(wishOf(fields));
    if ('status' in node) return node;
    const used = token === undefined ? undefined : organization.tokens.get(token);
    if (used !== undefined) used.useCount++;
    return { ...organization.packageOf(node), api_token: node.apiToken };
  }

  #limit(slug: string): ApiError | undefined {
    const detail = 'Too many registration attempts.';
    const keys = [
      [`address ${this.clientAddress}`, REGISTRATIONS_MAX_PER_ADDRESS],
      [`team ${slug}`, REGISTRATIONS_MAX_PER_TEAM],
    ] as const;
    const now = this.#options.nowMs();
    for (const [key, countMax] of keys) {
      const times = (this.#registrations.get(key) ?? []).filter((time) => time > now - HOUR_MS);
      this.#registrations.set(key, times);
      if (times.length >= countMax) return { status: 429, title: 'Rate Limit Exceeded', detail };
    }
    for (const [key] of keys) this.#registrations.get(key)?.push(now);
    return undefined;
  }
}

const NOT_FOUND: ApiError = { status: 404, title: 'Not Found', detail: 'The requested resource was not found.' };
const NOT_ALLOWED: ApiError = { status: 405, title: 'Method Not Allowed', detail: 'Method not allowed.' };
const FORBIDDEN: ApiError = { status: 403, title: 'Forbidden', detail: 'You do not have permission.' };
const UNAUTHORIZED: ApiError = { status: 401, title: 'Unauthorized', detail: 'Credentials were not provided.' };
const AUTHENTICATION_REQUIRED: ApiError = {
  status: 401,
  title: 'Authentication Required',
  detail: 'Either authentication credentials or a registration token is required.',
};

/** An error, an archive, or else a JSON document. */
function send(response: ServerResponse, answer: object): void {
  if (Buffer.isBuffer(answer)) {
    response.writeHead(200, { 'content-type': 'application/zip' }).end(answer);
    return;
  }
  const error = 'title' in answer ? (answer as ApiError) : undefined;
  const body = error === undefined ? answer : { error: error.title, detail: error.detail, status_code: error.status };
  response.writeHead(error?.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    byteCount += chunk.length;
    if (byteCount > BODY_BYTES_MAX) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function bearerOf({ headers }: SeenRequest): string | undefined {
  return /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
}

function parseFields(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function validation(detail: Readonly<Record<string, readonly string[]>>): ApiError {
  return { status: 400, title: 'Validation Error', detail };
}

function validate(fields: Record<string, unknown>, isTokenFlow: boolean): ApiError | undefined {
  const required = isTokenFlow ? ['organization_slug', 'node_name', 'registration_token'] : ['node_name'];
  const problems: Record<string, string[]> = {};
  for (const name of required) {
    const value = fields[name];
    if (typeof value !== 'string' || value === '') problems[name] = ['This field is required.'];
    else if (value.length > 255) problems[name] = ['Ensure this field has no more than 255 characters.'];
  }
  if (fields['is_lighthouse'] === true && fields['public_ip'] === undefined && fields['fqdn'] === undefined) {
    problems['public_ip'] = ['Required for a lighthouse.'];
  }
  return Object.keys(problems).length === 0 ? undefined : validation(problems);
}

function wishOf(fields: Record<string, unknown>): NodeWish {
  const text = (name: string): string | undefined => (typeof fields[name] === 'string' ? fields[name] : undefined);
  const port = fields['external_port'];
  return {
    name: text('node_name') ?? '',
    isLighthouse: fields['is_lighthouse'] === true,
    publicIp: text('public_ip'),
    fqdn: text('fqdn'),
    externalPort: typeof port === 'number' ? port : undefined,
  };
}
