import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { HostPort, RelaySpec } from './services.ts';

/**
 * Parses `[listen host:]listen port:peer:port`, IPv6 addresses in brackets; the host is 127.0.0.1 when absent.
 * @throws {TailnetError} `usage/bad-forward`.
 */
export function parseForward(text: string): RelaySpec {
  const parts = splitColons(text);
  const [host, listenPort, peer, port] = parts.length === 3 ? ['127.0.0.1', ...parts] : parts;
  const listen = toHostPort(host, listenPort, 0);
  const target = toHostPort(peer, port, 1);
  if (parts.length <= 4 && listen !== undefined && target !== undefined) return { listen, target };
  throw new TailnetError('usage/bad-forward', `Forward "${text}" is not [ADDRESS:]PORT:PEER:PORT`);
}

/**
 * Parses `tailnet port:[host:]port`; the host is 127.0.0.1 when absent.
 * @throws {TailnetError} `usage/bad-serve`.
 */
export function parseServe(text: string): RelaySpec {
  const parts = splitColons(text);
  const [listenPort, host, port] = parts.length === 2 ? [parts[0], '127.0.0.1', parts[1]] : parts;
  const listen = toHostPort('tailnet', listenPort, 1);
  const target = toHostPort(host, port, 1);
  if (parts.length <= 3 && listen !== undefined && target !== undefined) return { listen, target };
  throw new TailnetError('usage/bad-serve', `Serve "${text}" is not TAILNET-PORT:[HOST:]PORT`);
}

/**
 * Parses the address of the proxy: `host:port` or `port`, `off` for none. Port 0 takes any free one.
 * @throws {TailnetError} `usage/bad-proxy`.
 */
export function parseProxyAddress(text: string): HostPort | undefined {
  if (text === 'off') return undefined;
  const parts = splitColons(text);
  const [host, port] = parts.length === 1 ? ['127.0.0.1', parts[0]] : parts;
  const address = toHostPort(host, port, 0);
  if (parts.length <= 2 && address !== undefined) return address;
  throw new TailnetError('usage/bad-proxy', `Proxy address "${text}" is not HOST:PORT, PORT or "off"`);
}

/** `host:port` with brackets around IPv6. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

// Colons inside brackets do not separate; the brackets themselves are dropped.
function splitColons(text: string): string[] {
  const parts = text.match(/\[[^\]]*\]|[^:[\]]+/g) ?? [];
  return parts.join(':') === text ? parts.map((part) => part.replace(/^\[|\]$/g, '')) : [];
}

function toHostPort(host: string | undefined, port: string | undefined, portMin: number): HostPort | undefined {
  if (host === undefined || host === '' || port === undefined || !/^[0-9]{1,5}$/.test(port)) return undefined;
  const number = Number(port);
  return number >= portMin && number <= 65_535 ? { host, port: number } : undefined;
}
