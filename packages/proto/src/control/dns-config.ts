import { type IpAddress, parseAddress } from '../ip/address.ts';
import { isRecord, type JsonRecord, listOf, recordOf, textOf, textsOf } from './json-value.ts';

// docs/spec/control.md#dnsconfig

/** An upstream resolver: an address (port 53), `ip:port`, or the URL of a DNS-over-HTTPS server. */
export interface DnsResolver {
  readonly address: string;
  /** Addresses of the host in a URL, so that finding the resolver needs no resolver. */
  readonly bootstrap: readonly IpAddress[];
}

export interface DnsRecord {
  /** Lower case with one trailing dot. */
  readonly name: string;
  readonly address: IpAddress;
}

export interface DnsConfig {
  /** MagicDNS is on: names of nodes are answered. */
  readonly isProxied: boolean;
  /** Search domains, lower case, without dots at the ends. */
  readonly domains: readonly string[];
  /** Global resolvers; empty leaves the system's. */
  readonly resolvers: readonly DnsResolver[];
  readonly fallbackResolvers: readonly DnsResolver[];
  /** By suffix, lower case, without dots at the ends. An empty list means that we answer ourselves. */
  readonly routes: ReadonlyMap<string, readonly DnsResolver[]>;
  readonly extraRecords: readonly DnsRecord[];
}

export const EMPTY_DNS_CONFIG: DnsConfig = {
  isProxied: false,
  domains: [],
  resolvers: [],
  fallbackResolvers: [],
  routes: new Map(),
  extraRecords: [],
};

/** Reads the `DNSConfig` of a MapResponse; entries that cannot be read are left out. */
export function parseDnsConfig(json: unknown): DnsConfig {
  const config = recordOf(json);
  return {
    isProxied: config['Proxied'] === true,
    domains: textsOf(config['Domains']).map(normaliseDomain),
    resolvers: parseResolvers(config['Resolvers']),
    fallbackResolvers: parseResolvers(config['FallbackResolvers']),
    routes: parseRoutes(recordOf(config['Routes'])),
    extraRecords: listOf(config['ExtraRecords']).flatMap(parseRecord),
  };
}

/** A DNS name in the form all tables use: lower case, exactly one trailing dot. `''` stays empty. */
export function normaliseFqdn(name: string): string {
  const bare = normaliseDomain(name);
  return bare === '' ? '' : `${bare}.`;
}

function normaliseDomain(name: string): string {
  return name.toLowerCase().replace(/^\.+|\.+$/g, '');
}

function parseRoutes(json: JsonRecord): Map<string, readonly DnsResolver[]> {
  return new Map(Object.entries(json).map(([suffix, list]) => [normaliseDomain(suffix), parseResolvers(list)]));
}

function parseResolvers(json: unknown): readonly DnsResolver[] {
  return listOf(json).flatMap((item) => {
    if (!isRecord(item) || textOf(item['Addr']) === '') return [];
    const bootstrap = textsOf(item['BootstrapResolution']).flatMap((text) => parseAddress(text) ?? []);
    return [{ address: textOf(item['Addr']), bootstrap }];
  });
}

/** Only addresses can be answered; records of other types are left out. */
function parseRecord(json: unknown): DnsRecord[] {
  const record = recordOf(json);
  const type = textOf(record['Type']);
  const name = normaliseFqdn(textOf(record['Name']));
  const address = parseAddress(textOf(record['Value']));
  if (name === '' || address === undefined) return [];
  const isMatch = type === '' || type === (address.family === 4 ? 'A' : 'AAAA');
  return isMatch ? [{ name, address }] : [];
}
