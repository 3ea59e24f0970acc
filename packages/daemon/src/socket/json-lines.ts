import type { Readable } from 'node:stream';
import { LineSplitter } from './line-splitter.ts';
import { reasonOf } from './socket-path.ts';

/**
 * The JSON values of a stream, one a line, until it ends or its other side is gone. Longer lines than `lengthMax` bytes
 * and text that is not UTF-8 are left out. Ending the loop destroys the stream.
 * @throws {SyntaxError} for a line that is not JSON; whatever the stream was destroyed with.
 */
export async function* readJsonLines(stream: Readable, lengthMax: number): AsyncGenerator<unknown, void, undefined> {
  const splitter = new LineSplitter(lengthMax);
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      for (const line of splitter.push(chunk)) if (line.kind === 'line') yield JSON.parse(line.text);
    }
  } catch (error) {
    const reason = reasonOf(error);
    if (reason !== 'ECONNRESET' && reason !== 'EPIPE' && reason !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
