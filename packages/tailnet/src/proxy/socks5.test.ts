import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeDatagram, decodeGreeting, decodeLogin, decodeRequest, encodeDatagram, encodeReply } from './socks5.ts';

const NAME_REQUEST = bytes('05 01 00 03 03 77 65 62 1f 90');
const IPV4_REQUEST = bytes('05 01 00 01 64 40 00 02 00 50');
const IPV6_REQUEST = bytes('05 03 00 04 fd 7a 11 5c a1 e0 00 00 00 00 00 00 00 00 00 02 01 bb');
const LOGIN = bytes('01 05 61 6c 69 63 65 03 c3 a9 21');

describe('SOCKS5 messages', () => {
  test('greeting', () => {
    expect(decodeGreeting(bytes('05 02 00 02'))).toEqual({ kind: 'message', message: bytes('00 02'), length: 4 });
    expect(decodeGreeting(bytes('05 00'))).toEqual({ kind: 'message', message: bytes(''), length: 2 });
    expect(decodeGreeting(bytes('04 01'))).toBe('bad-version');
  });
  test('login', () => {
    expect(decodeLogin(LOGIN)).toEqual({ kind: 'message', message: { user: 'alice', token: 'é!' }, length: 11 });
    expect(decodeLogin(bytes('01 00 00'))).toEqual({ kind: 'message', message: { user: '', token: '' }, length: 3 });
    expect(decodeLogin(bytes('05 00 00'))).toBe('bad-version');
  });
  test('request', () => {
    expect(decodeRequest(NAME_REQUEST)).toMatchObject({ message: { command: 1, target: { host: 'web', port: 8080 } } });
    expect(decodeRequest(IPV4_REQUEST)).toMatchObject({
      message: { command: 1, target: { host: '100.64.0.2', port: 80 } },
    });
    expect(decodeRequest(IPV6_REQUEST)).toMatchObject({
      message: { command: 3, target: { host: 'fd7a:115c:a1e0::2', port: 443 } },
    });
    expect(decodeRequest(bytes('04 01 00 01 64 40 00 02 00 50'))).toBe('bad-version');
    expect(decodeRequest(bytes('05 01 00 02 64 40 00 02 00 50'))).toBe('bad-address-type');
  });
  test('an address in the name field is an address, other odd names are refused', () => {
    const named = (name: string) =>
      decodeRequest(
        Buffer.concat([
          bytes('05 01 00 03'),
          Buffer.from([Buffer.byteLength(name)]),
          Buffer.from(name),
          bytes('00 50'),
        ]),
      );
    expect(named('100.64.0.2')).toMatchObject({ message: { target: { host: '100.64.0.2' } } });
    expect(named('fd7a::2')).toMatchObject({ message: { target: { host: 'fd7a::2' } } });
    expect(named('[fd7a::2]')).toMatchObject({ message: { target: { host: 'fd7a::2' } } });
    for (const name of ['', 'a b', 'a\nb', 'a/b', 'http://web', 'wéb', 'a\u0000b'])
      expect(named(name)).toBe('bad-host');
  });
  test('every message is short until its last byte, and leaves what follows', () => {
    const cases = [
      { decode: decodeGreeting, message: bytes('05 02 00 02') },
      { decode: decodeLogin, message: LOGIN },
      { decode: decodeRequest, message: NAME_REQUEST },
      { decode: decodeRequest, message: IPV4_REQUEST },
      { decode: decodeRequest, message: IPV6_REQUEST },
    ];
    for (const { decode, message } of cases) {
      for (let end = 0; end < message.length; end++) expect(decode(message.subarray(0, end))).toBe('short');
      expect(decode(Buffer.concat([message, bytes('ff ff ff')]))).toMatchObject({ length: message.length });
    }
  });
  test('reply', () => {
    expect(encodeReply(0, address('100.64.0.1'), 8080)).toEqual(bytes('05 00 00 01 64 40 00 01 1f 90'));
    const expected = bytes('05 05 00 04 fd 7a 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00');
    expect(encodeReply(5, address('fd7a::1'), 0)).toEqual(expected);
  });
  test('datagram', () => {
    const datagram = bytes('00 00 00 01 64 40 00 02 00 35 61 62');
    expect(encodeDatagram(address('100.64.0.2'), 53, bytes('61 62'))).toEqual(datagram);
    expect(decodeDatagram(datagram)).toEqual({
      fragment: 0,
      target: { host: '100.64.0.2', port: 53 },
      payload: bytes('61 62'),
    });
    for (let end = 0; end < 10; end++) expect(decodeDatagram(datagram.subarray(0, end))).toBe('short');
  });
  test('datagrams survive encoding and decoding', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65535), fc.uint8Array(), (text, port, payload) => {
        const from = address(text);
        const decoded = decodeDatagram(encodeDatagram(from, port, payload));
        expect(decoded).toMatchObject({ fragment: 0, target: { port }, payload });
        // ::ffff:a.b.c.d is one address with a.b.c.d here.
        const host = (decoded as { target: { host: string } }).target.host;
        expect(from.text.endsWith(host)).toBe(true);
      }),
    );
  });
  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => {
        for (const decode of [decodeGreeting, decodeLogin, decodeRequest, decodeDatagram]) decode(random);
        random[0] = 5;
        decodeGreeting(random);
        decodeRequest(random);
      }),
    );
  });
});

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

function address(text: string): IpAddress {
  return parseAddress(text) as IpAddress;
}
