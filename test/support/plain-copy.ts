/**
 * The plain copier that the fast one is compared with: one thread, one buffer, nothing clever. It keeps holes, and is
 * right because there is nothing to it.
 */
import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';

const BLOCK_BYTES = 4096;

export function plainCopy(source: string, target: string): void {
  const from = openSync(source, 'r');
  const to = openSync(target, 'w');
  const block = Buffer.alloc(BLOCK_BYTES);
  const zeroes = Buffer.alloc(BLOCK_BYTES);
  ftruncateSync(to, statSync(source).size);
  for (let at = 0; ; ) {
    const got = readSync(from, block, 0, BLOCK_BYTES, at);
    if (got === 0) break;
    const bytes = block.subarray(0, got);
    if (!bytes.equals(zeroes.subarray(0, got))) writeSync(to, bytes, 0, got, at);
    at += got;
  }
  closeSync(from);
  closeSync(to);
}
