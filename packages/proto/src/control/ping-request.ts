import { parseBase64 } from '../bytes/base64.ts';
import { concatBytes } from '../bytes/equal.ts';
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';
import { isRecord, textOf } from './json-value.ts';

// docs/spec/control.md#pingrequest

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
  const bodyAt = findBody(request);
  const line = decodeUtf8(request.subarray(0, Math.max(0, request.indexOf(0x0d))));
  const match = /^[A-Z]+ (\S+) HTTP\/1\.[01]$/.exec(line ?? '');
  if (match === null || bodyAt < 0) return formatResponse('400 Bad Request', encodeUtf8('damaged request'));
  const path = (match[1] as string).replace(/\?.*$/, '');
  if (path === '/echo') return formatResponse('200 OK', request.subarray(bodyAt));
  return formatResponse('404 Not Found', encodeUtf8('unknown path'));
}

function formatResponse(status: string, body: Uint8Array): Uint8Array {
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n`;
  return concatBytes(encodeUtf8(head), body);
}

/** Where the header ends with an empty line, or -1. */
function findBody(request: Uint8Array): number {
  for (let i = 0; i + 3 < request.length; i++) {
    const isEnd = request[i] === 0x0d && request[i + 1] === 0x0a && request[i + 2] === 0x0d && request[i + 3] === 0x0a;
    if (isEnd) return i + 4;
  }
  return -1;
}
