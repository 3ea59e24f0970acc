import { formatBase64 } from '../bytes/base64.ts';
import { formatHex, parseHex } from '../bytes/hex.ts';

declare const kind: unique symbol;

/** What a 32-byte X25519 public key is for; its text form begins with the prefix of the kind. */
export type KeyKind = 'node' | 'disco' | 'machine' | 'challenge';

/** 32 bytes that must not be changed, made only by {@link parsePublicKey}, {@link decodePublicKey} and private keys. */
export type PublicKey<K extends KeyKind> = Uint8Array & { readonly [kind]: K };

/** The WireGuard static key and the address on a relay. */
export type NodePublicKey = PublicKey<'node'>;
export type DiscoPublicKey = PublicKey<'disco'>;
/** The Noise identity: a machine towards its coordination server, and that server itself. */
export type MachinePublicKey = PublicKey<'machine'>;

const PREFIX: Record<KeyKind, string> = {
  node: 'nodekey:',
  disco: 'discokey:',
  machine: 'mkey:',
  challenge: 'chalpub:',
};

/** Parses `nodekey:<64 hex>` and its siblings, hex of either case; `undefined` for any other text. */
export function parsePublicKey<K extends KeyKind>(keyKind: K, text: string): PublicKey<K> | undefined {
  const prefix = PREFIX[keyKind];
  if (!text.startsWith(prefix) || text.length !== prefix.length + 64) return undefined;
  return parseHex(text.slice(prefix.length)) as PublicKey<K> | undefined;
}

/** Copies 32 raw bytes into a key. @throws {RangeError} when there are not exactly 32. */
export function decodePublicKey<K extends KeyKind>(_keyKind: K, bytes: Uint8Array): PublicKey<K> {
  if (bytes.length !== 32) throw new RangeError(`public key of ${bytes.length} bytes, expected 32`);
  return bytes.slice() as PublicKey<K>;
}

export function formatPublicKey<K extends KeyKind>(keyKind: K, key: PublicKey<K>): string {
  return PREFIX[keyKind] + formatHex(key);
}

/** The short form of Tailscale's logs: `[` + five characters of base64 + `]`. */
export function formatShortKey(key: PublicKey<KeyKind>): string {
  return `[${formatBase64(key).slice(0, 5)}]`;
}

/** True for the all-zero key, which means "none" on every wire. */
export function isZeroKey(key: Uint8Array): boolean {
  return key.every((byte) => byte === 0);
}
