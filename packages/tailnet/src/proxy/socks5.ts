// SOCKS5 (RFC 1928) and its user/password method (RFC 1929), the server's side. Numbers are big-endian.
//
//   greeting   05 n method{n}                                  -> 05 method
//   login      01 userLength user tokenLength token            -> 01 status (0 accepted)
//   request    05 command 00 address port:u16                  -> 05 reply 00 address port:u16
//   datagram   00 00 fragment address port:u16 payload            both ways
//   address    01 ipv4{4}  |  03 length name  |  04 ipv6{16}
//
// Decoders return `short` until the whole message is there, whatever the segments, and how many bytes it took.

import { decodeUtf8 } from '@heddle/proto/bytes/utf8';
import { decodeAddress, type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import { type HostPort, isHostName } from './listen-spec.ts';

export const SOCKS_VERSION = 0x05;
const LOGIN_VERSION = 0x01;

export const SocksMethod = { none: 0x00, login: 0x02, refused: 0xff } as const;
export const SocksCommand = { connect: 0x01, bind: 0x02, udpAssociate: 0x03 } as const;
export const SocksReply = {
  ok: 0x00,
  failure: 0x01,
  notAllowed: 0x02,
  networkUnreachable: 0x03,
  hostUnreachable: 0x04,
  refused: 0x05,
  timeout: 0x06, // "TTL expired"
  badCommand: 0x07,
  badAddress: 0x08,
} as const;
const AddressType = { ipv4: 0x01, name: 0x03, ipv6: 0x04 } as const;

export type SocksDecoded<T> = { readonly kind: 'message'; readonly message: T; readonly length: number };
export type SocksFailure = 'short' | 'bad-version' | 'bad-address-type' | 'bad-host';

export interface SocksLogin {
  readonly user: string;
  readonly token: string;
}

export interface SocksRequest {
  readonly command: number;
  readonly target: HostPort;
}

export interface SocksDatagram {
  readonly fragment: number;
  readonly target: HostPort;
  readonly payload: Uint8Array;
}

/** The methods that the client offers. */
export function decodeGreeting(bytes: Uint8Array): SocksDecoded<Uint8Array> | SocksFailure {
  if (bytes.length >= 1 && bytes[0] !== SOCKS_VERSION) return 'bad-version';
  const length = 2 + (bytes[1] ?? 0);
  if (bytes.length < 2 || bytes.length < length) return 'short';
  return { kind: 'message', message: bytes.slice(2, length), length };
}

export function decodeLogin(bytes: Uint8Array): SocksDecoded<SocksLogin> | SocksFailure {
  if (bytes.length >= 1 && bytes[0] !== LOGIN_VERSION) return 'bad-version';
  const userEnd = 2 + (bytes[1] ?? 0);
  const length = userEnd + 1 + (bytes[userEnd] ?? 0);
  if (bytes.length < 2 || bytes.length <= userEnd || bytes.length < length) return 'short';
  const user = decodeUtf8(bytes.subarray(2, userEnd)) ?? '';
  const token = decodeUtf8(bytes.subarray(userEnd + 1, length)) ?? '';
  return { kind: 'message', message: { user, token }, length };
}

export function decodeRequest(bytes: Uint8Array): SocksDecoded<SocksRequest> | SocksFailure {
  if (bytes.length >= 1 && bytes[0] !== SOCKS_VERSION) return 'bad-version';
  const target = decodeTarget(bytes, 3);
  if (typeof target === 'string') return target;
  return { kind: 'message', message: { command: bytes[1] as number, target: target.message }, length: target.length };
}

/** A datagram is whole or bad: anything shorter than its header is `short`. */
export function decodeDatagram(bytes: Uint8Array): SocksDatagram | SocksFailure {
  const target = decodeTarget(bytes, 3);
  if (typeof target === 'string') return target;
  return { fragment: bytes[2] as number, target: target.message, payload: bytes.subarray(target.length) };
}

export function encodeReply(reply: number, address: IpAddress, port: number): Uint8Array {
  return Uint8Array.of(SOCKS_VERSION, reply, 0, ...encodeTarget(address, port));
}

export function encodeDatagram(from: IpAddress, port: number, payload: Uint8Array): Uint8Array {
  const header = encodeTarget(from, port);
  const datagram = new Uint8Array(3 + header.length + payload.length);
  datagram.set(header, 3);
  datagram.set(payload, 3 + header.length);
  return datagram;
}

export function encodeMethod(method: number): Uint8Array {
  return Uint8Array.of(SOCKS_VERSION, method);
}

export function encodeLoginStatus(isAccepted: boolean): Uint8Array {
  return Uint8Array.of(LOGIN_VERSION, isAccepted ? 0x00 : 0x01);
}

function encodeTarget(address: IpAddress, port: number): number[] {
  const type = address.family === 4 ? AddressType.ipv4 : AddressType.ipv6;
  return [type, ...address.bytes, port >> 8, port & 0xff];
}

function decodeTarget(bytes: Uint8Array, offset: number): SocksDecoded<HostPort> | SocksFailure {
  if (bytes.length <= offset) return 'short';
  const type = bytes[offset];
  const isName = type === AddressType.name;
  if (!isName && type !== AddressType.ipv4 && type !== AddressType.ipv6) return 'bad-address-type';
  if (isName && bytes.length <= offset + 1) return 'short';
  const hostAt = offset + (isName ? 2 : 1);
  const portAt = hostAt + (isName ? (bytes[offset + 1] as number) : type === AddressType.ipv4 ? 4 : 16);
  if (bytes.length < portAt + 2) return 'short';
  const host = isName
    ? decodeName(bytes.subarray(hostAt, portAt))
    : decodeAddress(bytes, hostAt, type === AddressType.ipv4 ? 4 : 16).text;
  if (host === undefined) return 'bad-host';
  const port = ((bytes[portAt] as number) << 8) | (bytes[portAt + 1] as number);
  return { kind: 'message', message: { host, port }, length: portAt + 2 };
}

/** Clients also put addresses into the name field, IPv6 with or without brackets. */
function decodeName(bytes: Uint8Array): string | undefined {
  const text = decodeUtf8(bytes)?.replace(/^\[(.*)\]$/, '$1');
  if (text === undefined) return undefined;
  return isHostName(text) ? text : parseAddress(text)?.text;
}
