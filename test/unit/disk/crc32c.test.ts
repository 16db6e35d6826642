/** CRC-32C against published values, and against the same sum taken bit by bit. */
import { expect, test } from 'vitest';
import { crc32c, crc32cWithout } from '../../../src/disk/crc32c.js';
import { Seeded } from '../../support/seeded.js';

function bitByBit(bytes: Uint8Array): number {
  let rest = 0xffff_ffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f6_3b78 : rest >>> 1;
  }
  return ~rest >>> 0;
}

test.each([
  ['nothing', Buffer.alloc(0), 0],
  ['the check value of the polynomial', Buffer.from('123456789'), 0xe306_9283],
  ['32 zeroes (RFC 3720, B.4)', Buffer.alloc(32), 0x8a91_36aa],
  ['32 ones (RFC 3720, B.4)', Buffer.alloc(32, 0xff), 0x62a8_ab43],
  ['0 to 31 (RFC 3720, B.4)', Buffer.from(Array.from({ length: 32 }, (_, at) => at)), 0x46dd_794e],
  ['31 to 0 (RFC 3720, B.4)', Buffer.from(Array.from({ length: 32 }, (_, at) => 31 - at)), 0x113f_db5c],
])('CRC-32C of %s is the published one', (_, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
});

test('bytes of every length and alignment have the sum that is taken bit by bit', () => {
  const bytes = new Seeded(1).bytes(300);
  for (let from = 0; from < 20; from++) {
    for (let to = from; to < 300; to += 7) {
      expect(crc32c(bytes.subarray(from, to))).toBe(bitByBit(bytes.subarray(from, to)));
    }
  }
});

test('a sum goes on where another ended', () => {
  const bytes = new Seeded(2).bytes(1000);
  expect(crc32c(bytes.subarray(333), crc32c(bytes.subarray(0, 333)))).toBe(crc32c(bytes));
});

test('a structure that holds its own checksum is summed as if that were zero', () => {
  const bytes = new Seeded(3).bytes(100);
  const without = Buffer.from(bytes);
  without.writeUInt32LE(0, 4);
  expect(crc32cWithout(bytes, 4)).toBe(crc32c(without));
});
