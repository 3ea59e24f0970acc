import { isRecord, textOf } from './json-value.ts';

/** What a server said to a registration (docs/spec/control.md#register). */
export type RegisterResult =
  | { readonly kind: 'registered' }
  /** The user has to open the page; then ask again with it as follow-up. */
  | { readonly kind: 'needs-login'; readonly authUrl: string }
  /** Make a new node key and register it, once. */
  | { readonly kind: 'key-expired' }
  /** Final: the server's words. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'damaged' };

/** Reads a RegisterResponse. An `AuthURL` that is no http(s) URL is damage: it is shown to a user who will open it. */
export function parseRegisterResponse(json: unknown): RegisterResult {
  if (!isRecord(json)) return { kind: 'damaged' };
  const reason = textOf(json['Error']);
  const authUrl = textOf(json['AuthURL']);
  if (reason !== '') return { kind: 'refused', reason };
  if (json['NodeKeyExpired'] === true) return { kind: 'key-expired' };
  if (authUrl === '') return { kind: 'registered' };
  return /^https?:\/\/[^\s\p{Cc}]+$/u.test(authUrl) ? { kind: 'needs-login', authUrl } : { kind: 'damaged' };
}

/** True when the words mean that the pre-auth key does not, or no longer, let anybody in. */
export function isAuthKeyRefusal(reason: string): boolean {
  return /auth[ -]?key/i.test(reason);
}

/** True when a follow-up is unknown to the server, so that a new login has to be started. */
export function isFollowUpForgotten(reason: string): boolean {
  return /followup|follow-up|node not found/i.test(reason);
}
