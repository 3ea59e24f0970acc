import { integerOf, isRecord, listOf, textOf, textsOf } from '@heddle/proto/control/json-value';
import { parseEndpoint } from '@heddle/proto/ip/endpoint';
import { formatPublicKey, isZeroKey, parsePublicKey } from '@heddle/proto/keys/public-key';
import { readHostinfo } from './hostinfo.ts';
import type { NodeUpdate } from './node-registry.ts';

const ENDPOINT_COUNT_MAX = 64;

/** The body of `POST /machine/map`, checked. */
export interface MapRequest {
  readonly nodeKey: string;
  /** `stream`: the netmap and every change of it. `once`: one netmap. `update`: nothing comes back. */
  readonly shape: 'stream' | 'once' | 'update';
  readonly isOmittingPeers: boolean;
  readonly isZstd: boolean;
  /** `undefined` for a read-only request. */
  readonly update: NodeUpdate | undefined;
  readonly capabilityVersion: number;
}

/** Checks a request body; `undefined` for anything that is no MapRequest. docs/spec/lab.md#map */
export function readMapRequest(json: unknown): MapRequest | undefined {
  if (!isRecord(json)) return undefined;
  const nodeKey = parsePublicKey('node', textOf(json['NodeKey']));
  const capabilityVersion = integerOf(json['Version']);
  if (nodeKey === undefined || capabilityVersion <= 0) return undefined;
  const isOmittingPeers = json['OmitPeers'] === true;
  const isReadOnly = json['ReadOnly'] === true;
  const isUpdate = isOmittingPeers && !isReadOnly;
  return {
    nodeKey: formatPublicKey('node', nodeKey),
    shape: json['Stream'] === true ? 'stream' : isUpdate ? 'update' : 'once',
    isOmittingPeers,
    isZstd: json['Compress'] === 'zstd',
    update: isReadOnly ? undefined : readUpdate(json, capabilityVersion),
    capabilityVersion,
  };
}

function readUpdate(json: Readonly<Record<string, unknown>>, capabilityVersion: number): NodeUpdate {
  const discoKey = parsePublicKey('disco', textOf(json['DiscoKey']));
  return {
    discoKey: discoKey === undefined || isZeroKey(discoKey) ? undefined : formatPublicKey('disco', discoKey),
    endpoints: Array.isArray(json['Endpoints']) ? readEndpoints(listOf(json['Endpoints'])) : undefined,
    hostinfo: readHostinfo(json['Hostinfo']),
    capabilityVersion,
  };
}

/** One bad address would make other nodes refuse the whole message: it is left out. */
function readEndpoints(json: readonly unknown[]): readonly string[] {
  const endpoints = textsOf(json).flatMap((text) => parseEndpoint(text)?.text ?? []);
  return [...new Set(endpoints)].slice(0, ENDPOINT_COUNT_MAX);
}
