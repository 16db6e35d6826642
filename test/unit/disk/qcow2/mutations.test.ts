import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import { qcow2 } from '../../../../src/disk/qcow2/qcow2.js';
import { unpackZstd } from '../../../../src/disk/qcow2/zstd.js';
import { Seeded } from '../../../support/seeded.js';
import { findings, guestBytes, Images, memoryBytes, noTools } from './images.js';
import { CuttableFile } from './merging.js';
import { scribble } from './scribble.js';

const SIZE = 1 * MiB;

/** Where tables are, as the header of a sound image says. */
function tablesOf(image: Buffer): number[] {
  const clusterBytes = 2 ** image.readUInt32BE(20);
  const l1At = Number(image.readBigUInt64BE(40));
  const entries = Array.from({ length: image.readUInt32BE(36) }, (_, index) => l1At + index * 8);
  for (const at of [...entries]) {
    const table = Number(image.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n);
    for (let entry = 0; table > 0 && entry < clusterBytes; entry += 8) entries.push(table + entry);
  }
  return entries;
}

describe.skipIf(noTools)(`damaged qcow2${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  const images = new Images();
  const sound: { name: string; image: Buffer; content: Buffer }[] = [];
  beforeAll(() => {
    for (const [at, options] of [
      'compat=0.10,cluster_size=4k',
      'cluster_size=512',
      'cluster_size=64k',
      'cluster_size=16k,extended_l2=on',
      'cluster_size=4k,compression_type=zstd',
    ].entries()) {
      images.create('disk.qcow2', SIZE, options);
      scribble(images, 'disk.qcow2', SIZE, 16 * KiB, new Seeded(at + 1), 25);
      const image = readFileSync(images.path('disk.qcow2'));
      sound.push({ name: options, image, content: images.content('disk.qcow2') });
    }
  });
  afterAll(() => images.remove());

  /** The content, or the code of the error; anything but an error of the format fails the test. */
  async function answer(image: Buffer): Promise<Buffer | string> {
    try {
      return await guestBytes(memoryBytes(image));
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'E_DISK_FORMAT', message: expect.stringMatching(/expected .* found /) });
      return 'refused';
    }
  }

  test('a flipped bit of a table is refused, or found, or changes nothing', async () => {
    const seeded = new Seeded(11);
    for (const { name, image, content } of sound.filter(({ name }) => !name.includes('extended'))) {
      // Another place of compressed bytes may hold those of another cluster; nothing would tell.
      const entries = tablesOf(image).filter((at) => {
        const entry = image.readBigUInt64BE(at);
        return entry !== 0n && (entry & (1n << 62n)) === 0n;
      });
      for (let time = 0; time < 150; time++) {
        const broken = Buffer.from(image);
        const at = seeded.pick(entries);
        // Bit 0 makes a cluster zero: nothing but a checksum, which qcow2 lacks, would tell.
        const bit = BigInt(seeded.int(1, 63));
        broken.writeBigUInt64BE(broken.readBigUInt64BE(at) ^ (1n << bit), at);
        const read = await answer(broken);
        const found = await findings(memoryBytes(broken));
        const isRight = typeof read === 'string' || found.length > 0 || read.equals(content);
        expect(isRight, `${name}: entry at ${at}, bit ${bit}`).toBe(true);
      }
    }
  });

  test('a file that is cut short is refused, or found, or read right', async () => {
    const seeded = new Seeded(12);
    for (const { name, image, content } of sound) {
      for (let time = 0; time < 60; time++) {
        const cut = Buffer.from(image.subarray(0, seeded.int(0, image.length - 1)));
        const read = await answer(cut);
        const found = await findings(memoryBytes(cut));
        const isRight = typeof read === 'string' || found.length > 0 || read.equals(content);
        expect(isRight, `${name}: cut at ${cut.length}`).toBe(true);
      }
    }
  });

  test('random bytes anywhere give an answer: content of some kind, or an error of the format', async () => {
    const seeded = new Seeded(13);
    const places = [0, 4, 8, 16, 20, 24, 36, 40, 48, 56, 60, 72, 96, 100, 104, 112];
    for (const { image } of sound) {
      const entries = tablesOf(image);
      for (let time = 0; time < 80; time++) {
        const broken = Buffer.from(image);
        for (let change = seeded.int(1, 4); change > 0; change--) {
          const kind = seeded.random();
          const at =
            kind < 0.3 ? seeded.pick(places) : kind < 0.6 ? seeded.pick(entries) : seeded.int(0, image.length - 9);
          if (seeded.chance(0.5)) broken[at + seeded.int(0, 7)] = seeded.int(0, 255);
          else broken.set(seeded.bytes(8), at);
        }
        await answer(broken);
        await findings(memoryBytes(broken));
        await openWriter(broken, seeded);
      }
    }
  }, 120_000);

  /** A damaged image is refused by the writer, or written to; nothing else. */
  async function openWriter(image: Buffer, seeded: Seeded): Promise<void> {
    try {
      const file = new CuttableFile(image, seeded);
      const writer = await qcow2.openWriter?.(file);
      const range = { offset: 0, length: Math.min(writer?.size ?? 0, 64 * KiB) };
      writer?.begin([range]);
      for (const { at, length } of writer?.place(range, 'data') ?? []) if (at) file.write(at, Buffer.alloc(length));
      writer?.publish();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'E_DISK_FORMAT' });
    }
  }
});

const zstd = describe.skipIf(noTools);

zstd('zstd', () => {
  const seeded = new Seeded(5);
  const samples = [
    Buffer.alloc(64 * KiB),
    seeded.bytes(64 * KiB),
    Buffer.from(Array.from({ length: 200 * KiB }, (_, at) => (at * at) >> 7)),
    readFileSync(process.execPath).subarray(5 * MiB, 7 * MiB),
    Buffer.from(
      JSON.stringify(Array.from({ length: 30_000 }, (_, at) => ({ at, half: at / 2, word: `word ${at % 97}` }))),
    ),
  ];
  const packed = (content: Buffer, ...args: string[]): Buffer =>
    execFileSync('zstd', ['-q', '-c', ...args], { input: content, maxBuffer: 64 * MiB });

  test.each(['--fast=5', '-1', '-3', '-9', '-15'])('unpacks what zstd packed at level %s', (level) => {
    for (const content of samples) {
      for (const more of [[], ['--no-check']]) {
        const bytes = Buffer.concat([packed(content, ...level.split(' '), ...more), Buffer.alloc(300, 0x28)]);
        expect(Buffer.from(unpackZstd(bytes, content.length)).equals(content)).toBe(true);
      }
    }
  });

  test('damaged bytes are refused or make as many bytes, and never take long', () => {
    for (const content of samples.slice(0, 4)) {
      const bytes = packed(content.subarray(0, 64 * KiB), '--no-check');
      for (let time = 0; time < 400; time++) {
        const broken = Buffer.from(bytes);
        for (let change = seeded.int(1, 3); change > 0; change--) {
          broken[seeded.int(0, Math.min(broken.length, 300) - 1)] = seeded.int(0, 255);
        }
        try {
          expect(
            unpackZstd(broken.subarray(0, seeded.int(0, 3) ? undefined : seeded.int(0, 64)), 64 * KiB).length,
          ).toBe(64 * KiB);
        } catch (thrown) {
          expect((thrown as Error).message).toMatch(/^zstd: /);
        }
      }
    }
  });

  test('a table of one symbol that takes no bits ends, as does a sequence that makes too much', () => {
    const frame = (block: readonly number[]): Buffer => {
      const head = Buffer.alloc(3);
      head.writeUIntLE((block.length << 3) | 5, 0, 3);
      return Buffer.concat([Buffer.from('28b52ffd2000', 'hex').fill(100, 5), head, Buffer.from(block)]);
    };
    // Compressed literals whose Huffman weights are coded with one symbol of all probability.
    const endless = [0xa2, 0x80, 0x03, 5, 0xf0, 0x03, 0xff, 0xff, 0x01, ...new Array<number>(14).fill(0)];
    expect(() => unpackZstd(frame(endless), 100)).toThrow('zstd: a Huffman table of too many symbols');
    // Sequences in "one symbol" mode: the longest literals and matches, again and again.
    expect(() => unpackZstd(frame([0x00, 0xff, 0xff, 0xff, 0x54, 35, 0, 52, 0x80, 0x80]), 100)).toThrow('zstd: ');
  });
});
