/**
 * Hidden names for what belongs to a file: `.<name><suffix>` beside it. A name that would be too long for the file
 * system is cut at a character and gets a hash of the whole name, so that two long names never share a hidden one.
 */
import { basename, dirname, join } from 'node:path';
import { sha256Hex } from '../core/digest.js';
import { decodePath, encodePath } from './path-bytes.js';

const NAME_BYTES_MAX = 255;

export function hiddenBeside(path: string, suffix: string): string {
  return join(dirname(path), hiddenName(basename(path), suffix));
}

export function hiddenName(name: string, suffix: string): string {
  const room = NAME_BYTES_MAX - 1 - suffix.length;
  // No character of a string takes more than three bytes.
  if (name.length * 3 <= room) return `.${name}${suffix}`;
  const bytes = Buffer.from(encodePath(name));
  if (bytes.length <= room) return `.${name}${suffix}`;
  const hash = sha256Hex(bytes).slice(0, 16);
  let end = room - hash.length - 1;
  // A byte 10xxxxxx goes on with the character before it (UTF-8, RFC 3629 section 3).
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `.${decodePath(bytes.subarray(0, end))}-${hash}${suffix}`;
}
