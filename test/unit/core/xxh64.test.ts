import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadPlainXxh64 } from '../../../src/core/digest.js';
import { hashRoom, loadXxh64 } from '../../../src/core/xxh64.js';

test('blocks that lie in the memory of the hash, and others, hash as with the package itself', async () => {
  const [fast, plain] = [await loadXxh64(), await loadPlainXxh64()];
  if (!fast) throw new Error('the package is not what xxh64.ts knows: blocks are copied to be hashed');
  const room = hashRoom(4096);
  if (!room) throw new Error('there is no room for a block');
  const block = fc.tuple(fc.uint8Array({ maxLength: 4096, size: 'max' }), fc.boolean());
  fc.assert(
    fc.property(fc.array(block, { maxLength: 8 }), (blocks) => {
      const [one, other] = [fast(), plain()];
      for (const [bytes, inRoom] of blocks) {
        const given = inRoom ? room.subarray(0, bytes.length) : bytes;
        given.set(bytes);
        one.update(given);
        other.update(bytes);
      }
      expect(one.digest()).toBe(other.digest());
    }),
  );
});

test('blocks larger than any room hash as with the package itself', async () => {
  const [fast, plain] = [await loadXxh64(), await loadPlainXxh64()];
  const bytes = new Uint8Array(3_000_001).map((_, at) => (at * 2_654_435_761) >>> 13);
  const [one, other] = [fast?.(), plain()];
  one?.update(bytes);
  other.update(bytes);
  expect(one?.digest()).toBe(other.digest());
});

test('two hashes that take turns do not mix, and one that is asked may go on', async () => {
  const fast = await loadXxh64();
  const [one, other, alone] = [fast?.(), fast?.(), fast?.()];
  for (const text of ['first', 'second', 'third']) {
    one?.update(Buffer.from(text));
    other?.update(Buffer.from(text.toUpperCase()));
    alone?.update(Buffer.from(text));
    one?.digest();
  }
  expect(one?.digest()).toBe(alone?.digest());
  expect(one?.digest()).not.toBe(other?.digest());
});

test('rooms never overlap, and end', async () => {
  await loadXxh64();
  const first = hashRoom(1 << 20);
  const second = hashRoom(1 << 20);
  first?.fill(1);
  second?.fill(2);
  expect(first?.every((byte) => byte === 1)).toBe(true);
  expect(hashRoom(1 << 30)).toBeUndefined();
});
