import type { ServerResponse } from 'node:http';

/** One wrong thing to do with a request instead of answering it. */
export type Misbehaviour = (response: ServerResponse) => void;

const JSON_TYPE = { 'content-type': 'application/json' };

/** An answer of any status, type and body. */
export function answerWith(
  status: number,
  body: string | Uint8Array,
  headers: Record<string, string> = JSON_TYPE,
): Misbehaviour {
  return (response) => void response.writeHead(status, headers).end(body);
}

/** An error in the words of the API. */
export function apiError(
  status: number,
  title: string,
  detail: unknown,
  headers: Record<string, string> = {},
): Misbehaviour {
  const body = JSON.stringify({ error: title, detail, status_code: status });
  return answerWith(status, body, { ...JSON_TYPE, ...headers });
}

/** A page of something that stands in front of the API. */
export function htmlPage(status: number): Misbehaviour {
  return answerWith(status, '<!doctype html><title>Sign in</title>', { 'content-type': 'text/html; charset=utf-8' });
}

export function redirectTo(location: string, status = 307): Misbehaviour {
  return answerWith(status, '', { location });
}

/** Never answers. */
export const hang: Misbehaviour = () => {};

/** Sends the head and some bytes, then nothing more. */
export const stall: Misbehaviour = (response) => {
  response.writeHead(200, JSON_TYPE);
  response.write('{"node_id":');
};

/** Announces more bytes than it sends. */
export function cutOff(text: string): Misbehaviour {
  return (response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': String(Buffer.byteLength(text) + 100) });
    response.write(text, () => response.destroy());
  };
}

/** Pours until the client has had enough. */
export const pour: Misbehaviour = (response) => {
  response.writeHead(200, JSON_TYPE);
  const chunk = 'x'.repeat(65_536);
  const fill = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', fill);
  fill();
};

/** Bytes that are no HTTP at all. */
export const babble: Misbehaviour = (response) => {
  response.socket?.end('SSH-2.0-OpenSSH_9.2p1\r\n');
};

/** Drops the connection without a byte. */
export const hangUp: Misbehaviour = (response) => {
  response.socket?.destroy();
};

/** Changes to another protocol that nobody asked for. */
export const upgrade: Misbehaviour = (response) => {
  response.socket?.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n');
};
