import { parseBase64 } from '../bytes/base64.ts';
import { concatBytes } from '../bytes/equal.ts';
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';
import { isRecord, textOf } from './json-value.ts';

// docs/spec/control.md#pingrequest

const LINE_END = Uint8Array.of(0x0d, 0x0a);
const HEADER_END = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a);

/** A server's question whether we are alive, in one of several ways. */
export interface PingRequest {
  /** Where the answer goes; also the identity of the request: the same URL twice in a row is one request. */
  readonly url: string;
  /** The answer goes through the Noise connection, whatever host the URL names. */
  readonly isUrlNoise: boolean;
  /** Empty: an HTTP HEAD to the URL is the answer. Else `c2n`, or the kinds of ping to send to `ip`. */
  readonly types: readonly string[];
  readonly ip: string;
  /** An HTTP/1 request to us, for `c2n`; at most what a map message holds. */
  readonly payload: Uint8Array | undefined;
}

/** Reads the `PingRequest` of a MapResponse; `undefined` when absent or without a URL. */
export function parsePingRequest(json: unknown): PingRequest | undefined {
  if (!isRecord(json) || textOf(json['URL']) === '') return undefined;
  return {
    url: textOf(json['URL']),
    isUrlNoise: json['URLIsNoise'] === true,
    types: textOf(json['Types'])
      .split(',')
      .filter((type) => type !== ''),
    ip: textOf(json['IP']),
    payload: parseBase64(textOf(json['Payload'])),
  };
}

/**
 * Answers a control-to-node HTTP request. Only `/echo` is served, which returns the body: nothing a server sends may
 * reach a file or a process. Damaged requests get 400, others 404.
 */
export function answerControlToNode(request: Uint8Array): Uint8Array {
  const headEnd = findSequence(request, HEADER_END, 0);
  const bodyAt = headEnd + HEADER_END.length;
  const head = headEnd < 0 ? undefined : decodeUtf8(request.subarray(0, bodyAt));
  const match = /^[A-Z]+ (\S+) HTTP\/1\.[01]\r\n/.exec(head ?? '');
  if (match === null) return formatResponse('400 Bad Request', encodeUtf8('damaged request'));
  if ((match[1] as string).replace(/\?.*$/, '') !== '/echo') {
    return formatResponse('404 Not Found', encodeUtf8('unknown path'));
  }
  const body = request.subarray(bodyAt);
  const isChunked = /\r\ntransfer-encoding:[ \t]*chunked\r\n/i.test(head as string);
  return formatResponse('200 OK', isChunked ? joinChunks(body) : body);
}

/** Body of `Transfer-Encoding: chunked` (RFC 9112 §7.1), up to its last chunk or the first damage. */
function joinChunks(body: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; ; ) {
    const lineEnd = findSequence(body, LINE_END, at);
    const size = /^[0-9a-f]{1,7}$/i.exec(decodeUtf8(body.subarray(at, Math.max(at, lineEnd))) ?? '');
    const length = size === null ? 0 : Number.parseInt(size[0], 16);
    const start = lineEnd + LINE_END.length;
    if (length === 0 || start + length > body.length) return concatBytes(...parts);
    parts.push(body.subarray(start, start + length));
    at = start + length + LINE_END.length;
  }
}

function formatResponse(status: string, body: Uint8Array): Uint8Array {
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n`;
  return concatBytes(encodeUtf8(head), body);
}

/** Where the sequence begins at or behind `from`, or -1. */
function findSequence(bytes: Uint8Array, sequence: Uint8Array, from: number): number {
  for (let i = from; i + sequence.length <= bytes.length; i++) {
    if (sequence.every((byte, k) => bytes[i + k] === byte)) return i;
  }
  return -1;
}
