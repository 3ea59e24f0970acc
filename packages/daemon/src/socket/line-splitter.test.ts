import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Line, LineSplitter } from './line-splitter.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const line = (text: string): Line => ({ kind: 'line', text });

describe('LineSplitter', () => {
  it('finds the same lines however the bytes are cut', () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !/[\r\n\ufeff]/.test(text)));
    fc.assert(
      fc.property(lines, fc.array(fc.nat(9)), (texts, cuts) => {
        const bytes = utf8(texts.map((text) => `${text}\n`).join(''));
        const splitter = new LineSplitter(100);
        const found: Line[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          found.push(...splitter.push(bytes.subarray(at, at + cut)));
          at = Math.min(at + cut, bytes.length);
        }
        expect(found).toEqual(texts.filter((text) => text.trim() !== '').map(line));
      }),
    );
  });

  it('accepts exactly the limit, with a carriage return as well', () => {
    for (const end of ['\n', '\r\n']) {
      expect(new LineSplitter(5).push(utf8(`12345${end}`))).toEqual([line('12345')]);
      expect(new LineSplitter(5).push(utf8(`123456${end}7${end}`))).toEqual([{ kind: 'too-long' }, line('7')]);
    }
  });

  it('reports an endless line once and counts what it skips', () => {
    const splitter = new LineSplitter(5);
    expect(splitter.push(utf8('1234567'))).toEqual([{ kind: 'too-long' }]);
    expect(splitter.push(utf8('89'))).toEqual([]);
    expect(splitter.skippedBytes).toBe(9);
    expect(splitter.push(utf8('\nok\n'))).toEqual([line('ok')]);
    expect(splitter.skippedBytes).toBe(0);
  });

  it('takes a byte order mark at the start only, and refuses what is not UTF-8', () => {
    const splitter = new LineSplitter(50);
    expect(splitter.push(utf8('\ufeffa\n'))).toEqual([line('a')]);
    expect(splitter.push(new Uint8Array([0x22, 0xff, 0x22, 0x0a]))).toEqual([{ kind: 'bad-text' }]);
    expect(splitter.push(utf8('é\n'))).toEqual([line('é')]);
  });

  it('gives the unfinished line at the end', () => {
    const splitter = new LineSplitter(50);
    expect(splitter.push(utf8('a\nb'))).toEqual([line('a')]);
    expect(splitter.end()).toEqual([line('b')]);
    expect(splitter.end()).toEqual([]);
  });

  it('never throws on random bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void new LineSplitter(8).push(bytes)));
  });
});
