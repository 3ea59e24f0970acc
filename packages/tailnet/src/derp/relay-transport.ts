import type { DerpNode } from '@heddle/proto/control/derp-map';
import { parseAddress } from '@heddle/proto/ip/address';

/** How the bytes to a relay node travel. `tls-or-plain` tries TLS and accepts that the server answers without it. */
export type RelayTransport = 'tls' | 'plain' | 'tls-or-plain';

const TLS_PORT = 443;
/** What derper listens on in its plain-HTTP mode when the map names no port. */
const PLAIN_PORT = 3340;

/**
 * Decides how to reach a node. The relay map has no field that says "plain HTTP", so it follows from the surroundings:
 * an override in the environment, or the node being the very host and port of a plain-HTTP coordination server
 * (docs/spec/derp.md#transport).
 */
export function chooseTransport(
  node: DerpNode,
  o: { readonly controlUrl: string; readonly environment: Readonly<Record<string, string | undefined>> },
): RelayTransport {
  if (o.environment['HEDDLE_DERP_HTTP'] === '1' || o.environment['TS_DEBUG_USE_DERP_HTTP'] === '1') return 'plain';
  if (isPlainControl(node, o.controlUrl)) return 'plain';
  return node.isInsecureForTests && isLoopback(node) ? 'tls-or-plain' : 'tls';
}

/** The TCP port of a node. */
export function relayPort(node: DerpNode, transport: RelayTransport): number {
  if (node.derpPort !== 0) return node.derpPort;
  return transport === 'plain' ? PLAIN_PORT : TLS_PORT;
}

function isPlainControl(node: DerpNode, controlUrl: string): boolean {
  if (!URL.canParse(controlUrl)) return false;
  const url = new URL(controlUrl);
  if (url.protocol !== 'http:') return false;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return host === node.hostName.toLowerCase() && Number(url.port || 80) === relayPort(node, 'tls');
}

function isLoopback(node: DerpNode): boolean {
  const address = parseAddress(node.ipv4) ?? parseAddress(node.ipv6) ?? parseAddress(node.hostName);
  if (address === undefined) return node.hostName === 'localhost';
  return address.family === 4 ? address.bytes[0] === 127 : address.text === '::1';
}
