/**
 * File names that are not UTF-8. Inside Blockferry a name is a string in which each undecodable byte `b` is the lone
 * surrogate U+DC00 + b (PEP 383, as Python does it), so that every name survives the way in and out byte for byte.
 */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import type { PathBytes } from './libc.js';

export type { PathBytes } from './libc.js';

/** With the `u` flag a surrogate matches only when it stands alone, never as half of an emoji. */
const ESCAPED_BYTE = /([\udc80-\udcff])/u;

/**
 * What a terminal would act on or hide: controls, line and paragraph separators, direction overrides, lone surrogates.
 */
const NOT_FOR_PEOPLE = /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu;

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

/** The bytes of a name as a string; `encodePath` gives the same bytes back. */
export function decodePath(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(buffer)) return buffer.toString('utf8');
  let text = '';
  for (let at = 0; at < buffer.length; ) {
    const lead = buffer[at] ?? 0;
    const character = buffer.subarray(at, at + sequenceBytes(lead));
    const valid = character.length > 0 && isUtf8(character);
    text += valid ? character.toString('utf8') : String.fromCharCode(0xdc00 + lead);
    at += valid ? character.length : 1;
  }
  return text;
}

/** How many bytes a character with this first byte has (RFC 3629 §4); 0 for a byte that begins none. */
function sequenceBytes(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/**
 * A name in the form that `node:fs` takes: the string itself, or a Buffer when it has bytes that no string can carry.
 */
export function encodePath(path: string): PathBytes {
  if (!ESCAPED_BYTE.test(path)) return path;
  const pieces = path.split(ESCAPED_BYTE);
  // split() with a group puts the escaped bytes at the odd places.
  return Buffer.concat(
    pieces.map((piece, at) => Buffer.from(at % 2 ? [piece.charCodeAt(0) - 0xdc00] : Buffer.from(piece))),
  );
}

/**
 * A name for people, on one line and harmless to a terminal: `a\nb`, `\x1b[31m`, `\xff`. Quotes and backslashes stay.
 */
export function showPath(path: string): string {
  return path.replace(NOT_FOR_PEOPLE, (character) => SHORT_ESCAPES.get(character) ?? escapeOf(character.charCodeAt(0)));
}

function escapeOf(unit: number): string {
  if (unit >= 0xdc80 && unit <= 0xdcff) return `\\x${(unit - 0xdc00).toString(16)}`;
  // A C1 control is a character of two bytes, so \x85 would name the wrong thing.
  return unit < 0x80 ? `\\x${unit.toString(16).padStart(2, '0')}` : `\\u${unit.toString(16).padStart(4, '0')}`;
}

/**
 * The last arguments of this process as names, with the bytes restored that Node replaced by U+FFFD. `argv` is the end
 * of `process.argv`. An argument that /proc/self/cmdline does not bear out (a changed process title, say) stays as it
 * is.
 */
export function argvPaths(argv: readonly string[]): string[] {
  if (process.platform !== 'linux' || !argv.some((arg) => arg.includes('\ufffd'))) return [...argv];
  const raw = splitAtNul(readFileSync('/proc/self/cmdline')).slice(-argv.length);
  return argv.map((arg, at) => (raw[at]?.toString('utf8') === arg ? decodePath(raw[at]) : arg));
}

/** Each entry of the command line ends with a NUL, empty ones too. */
function splitAtNul(commandLine: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let from = 0, to = commandLine.indexOf(0); to >= 0; from = to + 1, to = commandLine.indexOf(0, from)) {
    entries.push(commandLine.subarray(from, to));
  }
  return entries;
}
