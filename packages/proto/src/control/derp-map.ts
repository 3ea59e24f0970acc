import { integerOf, isRecord, listOf, recordOf, textOf } from './json-value.ts';

// docs/spec/control.md#derpmap

/** One relay server. */
export interface DerpNode {
  readonly name: string;
  readonly regionId: number;
  /** DNS name or address literal: TLS server name, Host header, and where to dial when `ipv4` and `ipv6` are empty. */
  readonly hostName: string;
  /** `''` verifies `hostName`, `sha256-raw:<hex>` pins one certificate, anything else is the name to verify. */
  readonly certName: string;
  /** An address forces it, `''` asks DNS, any other text (`none`) disables the family. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** 0 means 443. */
  readonly derpPort: number;
  /** 0 means 3478, -1 no STUN. */
  readonly stunPort: number;
  readonly isStunOnly: boolean;
  /** Certificates are not verified. */
  readonly isInsecureForTests: boolean;
}

export interface DerpRegion {
  readonly regionId: number;
  readonly code: string;
  readonly name: string;
  /** Never our home and never probed, but used when it is a peer's home. */
  readonly isNoMeasureNoHome: boolean;
  /** In order of preference. */
  readonly nodes: readonly DerpNode[];
}

export interface DerpMap {
  readonly regions: ReadonlyMap<number, DerpRegion>;
  /** Factors on the measured latency of a region when a home is chosen; absent is 1. */
  readonly regionScore: ReadonlyMap<number, number>;
}

export const EMPTY_DERP_MAP: DerpMap = { regions: new Map(), regionScore: new Map() };

/** Applies the `DERPMap` of a MapResponse: absent regions or scores keep their previous value. */
export function updateDerpMap(previous: DerpMap, json: unknown): DerpMap {
  const map = recordOf(json);
  const homeParams = recordOf(map['HomeParams']);
  return {
    regions: isRecord(map['Regions']) ? parseRegions(map['Regions']) : previous.regions,
    regionScore: isRecord(homeParams['RegionScore']) ? parseScores(homeParams['RegionScore']) : previous.regionScore,
  };
}

function parseRegions(json: Readonly<Record<string, unknown>>): Map<number, DerpRegion> {
  const regions = new Map<number, DerpRegion>();
  for (const [key, value] of Object.entries(json)) {
    const regionId = Number(key);
    // A null region deletes it from maps that Headscale merged.
    if (!isRecord(value) || !Number.isSafeInteger(regionId) || regionId <= 0) continue;
    regions.set(regionId, {
      regionId,
      code: textOf(value['RegionCode']),
      name: textOf(value['RegionName']),
      isNoMeasureNoHome: value['NoMeasureNoHome'] === true || value['Avoid'] === true,
      nodes: listOf(value['Nodes']).flatMap((node) => parseNode(node, regionId)),
    });
  }
  return regions;
}

function parseNode(json: unknown, regionId: number): DerpNode[] {
  const node = recordOf(json);
  const hostName = textOf(node['HostName']);
  const derpPort = integerOf(node['DERPPort']);
  const stunPort = integerOf(node['STUNPort']);
  if (hostName === '' || derpPort < 0 || derpPort > 65535 || stunPort < -1 || stunPort > 65535) return [];
  return [
    {
      name: textOf(node['Name']),
      regionId,
      hostName,
      certName: textOf(node['CertName']),
      ipv4: textOf(node['IPv4']),
      ipv6: textOf(node['IPv6']),
      derpPort,
      stunPort,
      isStunOnly: node['STUNOnly'] === true,
      isInsecureForTests: node['InsecureForTests'] === true,
    },
  ];
}

function parseScores(json: Readonly<Record<string, unknown>>): Map<number, number> {
  const scores = new Map<number, number>();
  for (const [key, value] of Object.entries(json)) {
    if (typeof value === 'number' && value > 0 && Number.isSafeInteger(Number(key))) scores.set(Number(key), value);
  }
  return scores;
}
