import { parseAddress } from '@heddle/proto/ip/address';
import { createEndpoint, type Endpoint, parseEndpoint } from '@heddle/proto/ip/endpoint';
import { TailnetError } from '../tailnet-error.ts';

/** Where a service is reached: a name or an address without brackets, and a port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `--forward 127.0.0.1:15432:db:5432`: connections to `listen` are carried to `host:port` of the tailnet. */
export interface ForwardSpec extends HostPort {
  readonly listen: string;
}

/** `--serve 8080:127.0.0.1:3000`: connections to our tailnet port are carried to a local address. */
export interface ServeSpec {
  readonly port: number;
  readonly target: HostPort;
}

/**
 * Parses where to listen: `127.0.0.1:16579`, `[::1]:16579`, `localhost:16579`; port 0 asks for any free port.
 * @throws {TailnetError} with code `proxy/bad-listen`.
 */
export function parseListen(text: string): Endpoint {
  const literal = text.startsWith('localhost:') ? `127.0.0.1:${text.slice('localhost:'.length)}` : text;
  if (literal.endsWith(':0')) {
    const address = parseEndpoint(literal.replace(/0$/, '1'))?.address;
    if (address !== undefined) return createEndpoint(address, 0);
  }
  const endpoint = parseEndpoint(literal);
  if (endpoint !== undefined) return endpoint;
  throw new TailnetError(
    'proxy/bad-listen',
    `Cannot listen on "${text}", expected an address and a port as in 127.0.0.1:16579 or [::1]:16579`,
  );
}

/**
 * Parses `[listen address:]listen port:host:port`; IPv6 addresses in brackets. Without a listen address it is 127.0.0.1.
 * @throws {TailnetError} with code `proxy/bad-forward`.
 */
export function parseForwardSpec(text: string): ForwardSpec {
  const parts = splitOutsideBrackets(text);
  const [listenHost, listenPort, host, port] = parts.length === 3 ? ['127.0.0.1', ...parts] : parts;
  const target = toHostPort(host, port);
  const listen = toHostPort(listenHost, listenPort);
  if (parts.length < 3 || parts.length > 4 || target === undefined || listen === undefined) {
    throw new TailnetError(
      'proxy/bad-forward',
      `Cannot forward "${text}", expected listen address:listen port:host:port as in 127.0.0.1:15432:db:5432`,
    );
  }
  return { listen: formatHostPort(listen), ...target };
}

/**
 * Parses `tailnet port:local host:local port`; IPv6 addresses in brackets.
 * @throws {TailnetError} with code `proxy/bad-serve`.
 */
export function parseServeSpec(text: string): ServeSpec {
  const parts = splitOutsideBrackets(text);
  const port = parsePort(parts[0]);
  const target = toHostPort(parts[1], parts[2]);
  if (parts.length !== 3 || port === undefined || target === undefined) {
    throw new TailnetError(
      'proxy/bad-serve',
      `Cannot serve "${text}", expected tailnet port:local host:local port as in 8080:127.0.0.1:3000`,
    );
  }
  return { port, target };
}

/** Parses `host:port` or `[ipv6]:port`, as in the target of CONNECT; `undefined` for any other text. */
export function parseHostPort(text: string): HostPort | undefined {
  const parts = splitOutsideBrackets(text);
  return parts.length === 2 ? toHostPort(parts[0], parts[1]) : undefined;
}

/** `host:port`, an IPv6 address in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Splits at colons that are not between brackets; a bracket without its partner leaves nothing. */
function splitOutsideBrackets(text: string): string[] {
  const parts = text.match(/(?:\[[^\]]*\]|[^:[\]])+/g) ?? [];
  return parts.join(':') === text ? [...parts] : [];
}

function toHostPort(hostText: string | undefined, portText: string | undefined): HostPort | undefined {
  const port = parsePort(portText);
  const host = hostText === undefined ? undefined : parseHost(hostText);
  return host === undefined || port === undefined ? undefined : { host, port };
}

/** A name, an IPv4 address, or an IPv6 address in brackets, which are removed. */
function parseHost(text: string): string | undefined {
  const bracketed = /^\[([^\]]*)\]$/.exec(text)?.[1];
  if (bracketed !== undefined) return parseAddress(bracketed)?.family === 6 ? bracketed : undefined;
  return isHostName(text) ? text : undefined;
}

/** True for what may be a DNS name or an IPv4 address: visible ASCII without the characters that delimit one in a URL. */
export function isHostName(text: string): boolean {
  return text.length <= 255 && /^[A-Za-z0-9_.-]+$/.test(text);
}

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}
