import { expect, test } from 'vitest';
import { KiB } from '../../../../src/core/units.js';
import { framedBytes, PartBody, pieceBytesFor } from '../../../../src/endpoint/s3/body.js';
import { PieceSigner } from '../../../../src/endpoint/s3/sign.js';

test.each([
  [4 * KiB, 8 * KiB],
  [64 * KiB, 64 * KiB],
  [1024 * KiB, 256 * KiB],
])('blocks of %i bytes are sent in pieces of %i, so that a slow copy is not silent for long', async (block, piece) => {
  const length = 3 * block + 1;
  const body = new PartBody(new PieceSigner(Buffer.alloc(32), 'about', 'seed'), pieceBytesFor(block));
  const sending = (async () => {
    for (let left = length; left > 0; left -= block) await body.write(Buffer.alloc(Math.min(block, left)));
    await body.end();
  })();
  const sizes: number[] = [];
  for await (const bytes of body) sizes.push(bytes.length);
  await sending;
  expect(sizes[0]).toBeGreaterThan(piece);
  expect(sizes[0]).toBeLessThan(piece + 128);
  expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBe(framedBytes(length, piece));
});

test('a small piece stays as it is while those behind it are taken', async () => {
  const body = new PartBody(new PieceSigner(Buffer.alloc(32), 'about', 'seed'), pieceBytesFor(0));
  const sending = (async () => {
    for (let n = 0; n < 8; n++) await body.write(Buffer.alloc(8 * KiB, n));
    await body.end();
  })();
  const taken: Uint8Array[] = [];
  for await (const bytes of body) taken.push(bytes);
  await sending;
  expect(taken.slice(0, 8).map((bytes) => bytes.at(-3))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
