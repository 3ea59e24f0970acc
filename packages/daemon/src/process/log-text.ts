import type { LogRecord } from '../schema/reply.ts';

export type LogFormat = 'json' | 'text';

/** Longer texts are cut: what a client sends may not fill the disk with one line. */
export const LOG_TEXT_LENGTH_MAX = 2048;
const FIELD_COUNT_MAX = 32;

/**
 * Formats a record as one line with its line break. `json` is the record itself; `text` is for people:
 * `2026-11-21T04:37:15.123Z INFO message key=value`. Neither holds a control character, a line separator or what turns
 * the direction of text: they stand as `\u` and four hex digits.
 * @param lostCount Lines that could not be written before this one; named when there are any.
 */
export function formatLogRecord(record: LogRecord, format: LogFormat, lostCount: number): string {
  const fields = Object.entries(record.fields ?? {}).slice(0, FIELD_COUNT_MAX);
  return `${escapeControls(format === 'json' ? formatJson(record, fields, lostCount) : formatText(record, fields, lostCount))}\n`;
}

type Fields = readonly (readonly [key: string, value: string | number | boolean])[];

function formatJson({ time, level, message, fields }: LogRecord, entries: Fields, lostCount: number): string {
  return JSON.stringify({
    time,
    level,
    message: clip(message),
    ...(fields === undefined
      ? {}
      : { fields: Object.fromEntries(entries.map(([key, value]) => [clip(key), clipValue(value)])) }),
    ...(lostCount === 0 ? {} : { lostLines: lostCount }),
  });
}

function formatText({ time, level, message }: LogRecord, entries: Fields, lostCount: number): string {
  const lost: Fields = lostCount === 0 ? [] : [['lostLines', lostCount]];
  const pairs = [...entries, ...lost].map(([key, value]) => ` ${quote(clip(key))}=${quote(String(clipValue(value)))}`);
  return `${time} ${level.toUpperCase()} ${clip(message)}${pairs.join('')}`;
}

// A blank, a quotation mark or an equals sign would make one value look like several.
function quote(text: string): string {
  return /^[^\s"'=\\]+$/.test(text) ? text : JSON.stringify(text);
}

// What JSON.stringify leaves as it is can break a line of a terminal all the same. Valid inside of strings of JSON, and in
// a line of JSON there is nothing of this kind outside of them.
function escapeControls(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function clipValue(value: string | number | boolean): string | number | boolean {
  return typeof value === 'string' ? clip(value) : value;
}

function clip(text: string): string {
  return text.length <= LOG_TEXT_LENGTH_MAX ? text : `${text.slice(0, LOG_TEXT_LENGTH_MAX - 1)}…`;
}
