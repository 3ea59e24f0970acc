import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { Problem } from '../schema/interface-api.ts';
import { INTERFACE_CODES, type InterfaceCode } from '../schema/interface-codes.ts';

const DETAIL_LENGTH_MAX = 512;

/**
 * Describes any thrown value to a client. Only errors of a known code bring their own words along; everything else is a
 * fault of ours and belongs in the log.
 */
export function toProblem(error: unknown): Problem {
  if (!(error instanceof TailnetError) || !Object.hasOwn(INTERFACE_CODES, error.code)) {
    return problemOf('rest/internal', 'The request met a fault of heddle; the log has more');
  }
  return problemOf(error.code as InterfaceCode, error.message);
}

/** RFC 9457; `detail` is clipped to 512 characters. */
export function problemOf(code: InterfaceCode, detail: string): Problem {
  const { status, title, next } = INTERFACE_CODES[code];
  return { type: `urn:heddle:${code}`, title, status, detail: clipText(detail, DETAIL_LENGTH_MAX), code, next };
}

/** The words of any thrown value, for the log. */
export function describeError(error: unknown): string {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : `A ${typeof error} was thrown`;
  return clipText(words, DETAIL_LENGTH_MAX);
}

/** Makes text of others fit for a log: no control characters, no more than so many UTF-16 units. */
export function clipText(text: string, lengthMax: number): string {
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
  return line.length > lengthMax ? `${line.slice(0, lengthMax - 1)}…` : line;
}
