/** What the fast way takes for the head of an answer: whatever two readers could read differently is refused. */
import { expect, test } from 'vitest';
import {
  HEAD_BYTES_MAX,
  HeadReader,
  keepsConnection,
  parseHead,
  plainBodyBytes,
} from '../../../../src/endpoint/http/head.js';

const head = (...lines: string[]): string => ['HTTP/1.1 206 Partial Content', ...lines].join('\r\n');
const lengthOf = (...lines: string[]): number | undefined => {
  const parsed = parseHead(head(...lines));
  return parsed && plainBodyBytes(parsed);
};

test('a plain head gives its status, and its fields by names in lower case', () => {
  const parsed = parseHead(
    head('Content-Length: 10', 'ETag:"a  b"', 'X-Empty:', 'x-two: 1 \t', 'X-Two:\t2', 'X-Ü: no'),
  );
  expect(parsed).toBeUndefined();
  const good = parseHead(head('Content-Length: 10', 'ETag:"a  b"', 'X-Empty:', 'x-two: 1 \t', 'X-Two:\t2', 'x-utf: ü'));
  expect({ ...good, headers: { ...good?.headers } }).toEqual({
    status: 206,
    headers: { 'content-length': '10', etag: '"a  b"', 'x-empty': '', 'x-two': ['1', '2'], 'x-utf': 'ü' },
  });
});

test('a field may be named like something of every object', () => {
  const parsed = parseHead(head('Constructor: 1', '__proto__: 2', 'toString: 3'));
  expect(Object.entries(parsed?.headers ?? {})).toEqual([
    ['constructor', '1'],
    ['__proto__', '2'],
    ['tostring', '3'],
  ]);
});

test.each([
  ['HTTP/1.1 206 ', true],
  ['HTTP/1.1 503 Out of order, ä', true],
  ['HTTP/1.1 206', false],
  ['HTTP/1.1  206 OK', false],
  ['HTTP/1.0 206 OK', false],
  ['HTTP/2 206 OK', false],
  ['http/1.1 206 OK', false],
  ['HTTP/1.1 100 Continue', false],
  ['HTTP/1.1 103 Early Hints', false],
  ['HTTP/1.1 2060 OK', false],
  ['HTTP/1.1 +26 OK', false],
  ['HTTP/1.1 206 O\x00K', false],
  ['HTTP/1.1 206 O\rK', false],
  ['HTTP/1.1 206 OK\nContent-Length: 5', false],
  ['\r\nHTTP/1.1 206 OK', false],
  ['', false],
])('status line %j is taken: %s', (line, taken) => {
  expect(parseHead(`${line}\r\nA: b`) !== undefined).toBe(taken);
});

test.each([
  ['a folded line', ['A: b', ' c']],
  ['a line folded with a tab', ['A: b', '\tc']],
  ['a space before the colon', ['Content-Length : 5']],
  ['no colon', ['Content-Length']],
  ['no name', [': 5']],
  ['a space in the name', ['Content Length: 5']],
  ['a bare CR', ['A: b\rContent-Length: 5']],
  ['a bare LF', ['A: b\nContent-Length: 5']],
  ['a NUL', ['A: b\0']],
  ['a DEL', ['A: \x7f']],
  ['an empty line within', ['A: b', '', 'C: d']],
])('a head with %s is refused', (_what, lines) => {
  expect(parseHead(head(...lines))).toBeUndefined();
});

test.each([
  ['one length', ['Content-Length: 204800'], 204_800],
  ['zero', ['content-length: 0'], 0],
  ['leading zeroes', ['content-length: 007'], 7],
  ['no length', [], undefined],
  ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], undefined],
  ['the same length twice', ['Content-Length: 5', 'content-length: 5'], undefined],
  ['a list of lengths', ['Content-Length: 5, 5'], undefined],
  ['a sign', ['Content-Length: +5'], undefined],
  ['a negative length', ['Content-Length: -5'], undefined],
  ['a fraction', ['Content-Length: 5.0'], undefined],
  ['hexadecimal', ['Content-Length: 0x5'], undefined],
  ['an exponent', ['Content-Length: 5e3'], undefined],
  ['other digits', ['Content-Length: ５'], undefined],
  ['nothing', ['Content-Length:'], undefined],
  ['more than can be counted', ['Content-Length: 99999999999999999999'], undefined],
  ['chunks beside a length', ['Content-Length: 5', 'Transfer-Encoding: chunked'], undefined],
  ['an odd encoding beside a length', ['Content-Length: 5', 'Transfer-Encoding: \tidentity'], undefined],
])('a body with %s is framed only by one clear length', (_what, lines, expected) => {
  expect(lengthOf(...lines)).toBe(expected);
});

test.each([
  [[], true],
  [['Connection: keep-alive'], true],
  [['Connection: closed'], true],
  [['Connection: close'], false],
  [['CONNECTION: Keep-Alive ,\tClose'], false],
  [['Connection: keep-alive', 'connection: close'], false],
])('with %j the connection is kept: %s', (lines, kept) => {
  const parsed = parseHead(head(...lines));
  expect(parsed && keepsConnection(parsed)).toBe(kept);
});

test('a head that comes byte by byte is the same head, and what follows it stays apart', () => {
  const text = head('Content-Length: 3', 'ETag: "ü"');
  const reader = new HeadReader();
  const bytes = Buffer.from(`${text}\r\n\r\n`);
  for (const byte of bytes.subarray(0, -1)) expect(reader.take(Buffer.of(byte))).toBe('more');
  expect(reader.take(Buffer.from('\nabc'))).toEqual(Buffer.from('abc'));
  expect(reader.text).toBe(text);
});

test('a head is refused once it can not become one: by its first bytes, and by its length', () => {
  expect(new HeadReader().take(Buffer.from('SSH-2.0-OpenSSH'))).toBe('refused');
  expect(new HeadReader().take(Buffer.from('HTTP/1.0 '))).toBe('refused');
  expect(new HeadReader().take(Buffer.from('HT'))).toBe('more');
  const start = Buffer.from(head('A: '));
  const endless = new HeadReader();
  expect(endless.take(start)).toBe('more');
  expect(endless.take(Buffer.alloc(HEAD_BYTES_MAX - start.length - 1, 'a'))).toBe('more');
  expect(endless.take(Buffer.from('a\r\n\r\n'))).toBe('refused');
  const atOnce = Buffer.concat([start, Buffer.alloc(HEAD_BYTES_MAX, 'a'), Buffer.from('\r\n\r\n')]);
  expect(new HeadReader().take(atOnce)).toBe('refused');
});
