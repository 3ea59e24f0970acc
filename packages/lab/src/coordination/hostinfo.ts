import { isRecord, listOf, recordOf, textOf, textsOf } from '@heddle/proto/control/json-value';

/** What a node tells about itself, cut to fields of known type: it is passed on to every other node as it is. */
export interface LabHostinfo {
  readonly [field: string]: string | boolean | readonly unknown[];
}

/** A node's `Hostinfo`, taken apart. */
export interface HostinfoUpdate {
  readonly hostinfo: LabHostinfo;
  readonly hostname: string;
  /** `undefined` when the node did not say: its last choice stays. */
  readonly homeDerp: number | undefined;
}

const TEXT_FIELDS = [
  'IPNVersion',
  'BackendLogID',
  'OS',
  'OSVersion',
  'Distro',
  'DistroVersion',
  'DeviceModel',
  'Hostname',
  'Machine',
  'GoArch',
  'GoVersion',
] as const;
const BOOLEAN_FIELDS = [
  'ShieldsUp',
  'Userspace',
  'UserspaceRouter',
  'NoLogsNoSupport',
  'Container',
  'Desktop',
] as const;
const TEXT_LENGTH_MAX = 256;
const SERVICE_COUNT_MAX = 32;

/**
 * Reads a `Hostinfo`; `undefined` when it is no object. A field of the wrong type is left out: sent on, it would make
 * the JSON decoder of every real node fail.
 */
export function readHostinfo(json: unknown): HostinfoUpdate | undefined {
  if (!isRecord(json)) return undefined;
  const hostinfo: Record<string, string | boolean | readonly unknown[]> = {};
  for (const field of TEXT_FIELDS) {
    const text = textOf(json[field]).slice(0, TEXT_LENGTH_MAX);
    if (text !== '') hostinfo[field] = text;
  }
  for (const field of BOOLEAN_FIELDS) {
    const value = json[field];
    if (typeof value === 'boolean') hostinfo[field] = value;
  }
  const services = listOf(json['Services']).slice(0, SERVICE_COUNT_MAX).flatMap(readService);
  if (services.length > 0) hostinfo['Services'] = services;
  const tags = textsOf(json['RequestTags']).slice(0, SERVICE_COUNT_MAX);
  if (tags.length > 0) hostinfo['RequestTags'] = tags;
  const home = recordOf(json['NetInfo'])['PreferredDERP'];
  const isHome = typeof home === 'number' && Number.isInteger(home) && home >= 0 && home <= 0xffff;
  return { hostinfo, hostname: textOf(hostinfo['Hostname']), homeDerp: isHome ? home : undefined };
}

function readService(json: unknown): unknown[] {
  const service = recordOf(json);
  const port = service['Port'];
  const isPort = typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 0xffff;
  return isPort && typeof service['Proto'] === 'string' ? [{ Proto: service['Proto'], Port: port }] : [];
}
