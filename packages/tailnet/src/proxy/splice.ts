import { Socket } from 'node:net';
import type { Duplex, Readable, Writable } from 'node:stream';

/** How a splice ended: both directions in order, or torn by one end. */
export type SpliceOutcome = 'closed' | 'reset';

export interface SpliceOptions {
  readonly client: Duplex;
  readonly target: Duplex;
  /** Called with the bytes of each chunk that passed. */
  readonly onSent: (bytes: number) => void;
  readonly onReceived: (bytes: number) => void;
  /** Called once, when both ends are closed or one was torn. */
  readonly onEnd: (outcome: SpliceOutcome) => void;
}

/**
 * Joins two connections. The end of one direction is passed on while the other goes on (half-close); a reset or an
 * error of one resets the other. Nothing is read while the other side cannot take it, so at most the two stream buffers
 * are held. `stream.pipeline` would destroy both at the first end.
 */
export function splice({ client, target, onSent, onReceived, onEnd }: SpliceOptions): void {
  let isOver = false;
  let openCount = 2;
  const finish = (outcome: SpliceOutcome): void => {
    if (isOver) return;
    isOver = true;
    onEnd(outcome);
  };
  const watch = (end: Duplex, other: Duplex): void => {
    let hasFailed = false;
    end.on('error', () => {
      hasFailed = true;
    });
    end.once('close', () => {
      // A stream that closes before both its halves have ended was torn, with an error or without.
      if (hasFailed || !end.readableEnded || !end.writableFinished) {
        finish('reset');
        abort(other);
      }
      openCount--;
      if (openCount === 0) finish('closed');
    });
  };
  watch(client, target);
  watch(target, client);
  if (client.destroyed || target.destroyed) {
    finish('reset');
    abort(client);
    abort(target);
    return;
  }
  pump(client, target, onSent);
  pump(target, client, onReceived);
}

/** Carries the bytes of one direction at the pace of the slower side, and its end. Errors are the caller's. */
export function pump(from: Readable, to: Writable, onBytes: (bytes: number) => void): void {
  const resume = (): void => {
    from.resume();
  };
  from.on('data', (chunk: Uint8Array) => {
    onBytes(chunk.length);
    if (to.write(chunk)) return;
    from.pause();
    to.once('drain', resume);
  });
  from.once('end', () => to.end());
  from.resume();
}

/** Tears a connection so that its peer sees a reset instead of an end. */
export function abort(connection: Duplex): void {
  if (connection.destroyed) return;
  if (connection instanceof Socket) connection.resetAndDestroy();
  else connection.destroy(new Error('the other end of the proxied connection was reset'));
}
