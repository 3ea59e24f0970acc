import { concatBytes } from '../bytes/equal.ts';
import { formatHex } from '../bytes/hex.ts';
import { encodeUtf8 } from '../bytes/utf8.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { Endpoint } from '../ip/endpoint.ts';
import { type DiscoPublicKey, formatPublicKey, type MachinePublicKey, type NodePublicKey } from '../keys/public-key.ts';
import { chooseHostname } from './hostname.ts';

/**
 * The capability version we claim in `/key?v=`, the Noise handshake and every body (docs/spec/control.md#version).
 * Clients of release 1.92 and 1.94 send it.
 */
export const CAPABILITY_VERSION = 131;

/** When a node that logs out expires: a time in the past, as the reference client sends it. */
export const LOGOUT_EXPIRY = '1970-01-01T00:02:03Z';

/** What a server tells our peers about us. Every difference makes it push us to all of them: keep it stable. */
export interface HostinfoOptions {
  /** Any text; it is made a DNS label. */
  readonly hostname: string;
  /** Go's name of the system: `linux`, `macOS`, `windows`. */
  readonly os: string;
  readonly osVersion: string;
  readonly machineKey: MachinePublicKey;
  /** 0 while no home relay is chosen. */
  readonly homeDerp: number;
}

/** Builds the `Hostinfo` object, which must be in every request: old servers crash without it. */
export function createHostinfo(options: HostinfoOptions, crypto: Pick<CryptoProvider, 'blake2s'>): object {
  // No server looks at the log id, but the reference client never registers without one; derived, so that it is stable.
  const logId = crypto.blake2s(concatBytes(encodeUtf8('heddle log id'), options.machineKey));
  return {
    IPNVersion: '1.92.0-heddle',
    BackendLogID: formatHex(logId),
    OS: options.os,
    OSVersion: options.osVersion,
    Hostname: chooseHostname(options.hostname),
    Userspace: true,
    UserspaceRouter: true,
    ...(options.homeDerp > 0 ? { NetInfo: { PreferredDERP: options.homeDerp } } : {}),
  };
}

export interface RegisterOptions {
  readonly nodeKey: NodePublicKey;
  /** The expired key that `nodeKey` replaces. */
  readonly oldNodeKey: NodePublicKey | undefined;
  readonly authKey: string | undefined;
  /** The login page of an earlier answer: the server then holds its answer until the user is done. */
  readonly followUpUrl: string | undefined;
  readonly isLogout: boolean;
  readonly hostinfo: object;
}

/** Builds the body of `POST /machine/register`. Unset keys are left out: an empty text is an error to Go. */
export function createRegisterRequest(options: RegisterOptions): object {
  return {
    Version: CAPABILITY_VERSION,
    NodeKey: formatPublicKey('node', options.nodeKey),
    ...(options.oldNodeKey === undefined ? {} : { OldNodeKey: formatPublicKey('node', options.oldNodeKey) }),
    ...(options.authKey === undefined ? {} : { Auth: { AuthKey: options.authKey } }),
    ...(options.followUpUrl === undefined ? {} : { Followup: options.followUpUrl }),
    ...(options.isLogout ? { Expiry: LOGOUT_EXPIRY } : {}),
    Hostinfo: options.hostinfo,
  };
}

/** Where an endpoint of ours was learned: 0 unknown, 1 local, 2 STUN, 3 port mapping, 4 STUN and local port, 5 explicit. */
export interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly type: number;
}

export interface MapOptions {
  readonly nodeKey: NodePublicKey;
  readonly discoKey: DiscoPublicKey;
  readonly hostinfo: object;
  readonly endpoints: readonly LocalEndpoint[];
  /** True for the long poll, false for a "lite" update of what the server knows about us. */
  readonly isStream: boolean;
}

/**
 * Builds the body of `POST /machine/map`. Both kinds carry disco key, Hostinfo and endpoints: some servers read them
 * from the stream only, some from the update only, and some overwrite what is missing with nothing.
 */
export function createMapRequest(options: MapOptions): object {
  return {
    Version: CAPABILITY_VERSION,
    NodeKey: formatPublicKey('node', options.nodeKey),
    DiscoKey: formatPublicKey('disco', options.discoKey),
    KeepAlive: true,
    Endpoints: options.endpoints.map(({ endpoint }) => endpoint.text),
    EndpointTypes: options.endpoints.map(({ type }) => type),
    Hostinfo: options.hostinfo,
    ...(options.isStream ? { Stream: true, Compress: 'zstd' } : { OmitPeers: true }),
  };
}
