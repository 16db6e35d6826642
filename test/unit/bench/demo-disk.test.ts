/** The disk that the demo copies: valid, the same at every run, and with every kind of content in it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeDemoDisk, STRETCH_BYTES, stretchKind } from '../../../bench/demo-disk.js';
import { KiB, MiB } from '../../../src/core/units.js';
import { decodeVhdFooter } from '../../../src/disk/vhd/footer.js';

const sizeBytes = 5 * STRETCH_BYTES;
const createdAtMs = Date.UTC(2024, 0, 1);
const never = new AbortController().signal;
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-demo-disk-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the demo disk is a valid fixed VHD with noise, text, written zeros and holes', async () => {
  const path = join(folder, 'disk.vhd');
  const made = await makeDemoDisk({ path, sizeBytes, createdAtMs }, never);
  const bytes = readFileSync(path);
  expect(bytes.length).toBe(made.fileBytes);
  expect(decodeVhdFooter(bytes.subarray(sizeBytes))).toMatchObject({ diskType: 'fixed', currentBytes: sizeBytes });

  const kinds = [0, 1, 2, 3, 4].map(stretchKind);
  expect(new Set(kinds)).toEqual(new Set(['random', 'text', 'hole', 'zeros']));
  for (const [stretch, kind] of kinds.entries()) {
    const start = bytes.subarray(stretch * STRETCH_BYTES, stretch * STRETCH_BYTES + MiB);
    const packed = deflateRawSync(start).length / start.length;
    if (kind === 'random') expect(packed).toBeGreaterThan(0.99);
    else if (kind === 'text') expect(packed).toBeLessThan(0.5);
    else expect(start.every((byte) => byte === 0)).toBe(true);
  }
  const data = kinds.filter((kind) => kind === 'random' || kind === 'text').length * STRETCH_BYTES;
  expect(made.dataBytes).toBe(data + 512);
  expect(statSync(path).blocks * 512).toBeLessThan(made.fileBytes - STRETCH_BYTES / 2);
});

test('no two blocks of 128 KiB of data on the demo disk are alike, and another run makes the same disk', async () => {
  const digests: Set<string>[] = [];
  for (const path of [join(folder, 'one.vhd'), join(folder, 'two.vhd')]) {
    await makeDemoDisk({ path, sizeBytes, createdAtMs }, never);
    const bytes = readFileSync(path);
    const seen = new Set<string>();
    for (let at = 0; at < bytes.length; at += 128 * KiB) {
      seen.add(
        createHash('sha1')
          .update(bytes.subarray(at, at + 128 * KiB))
          .digest('hex'),
      );
    }
    digests.push(seen);
  }
  const dataBlocks = (3 * STRETCH_BYTES) / (128 * KiB);
  expect(digests[0]?.size).toBe(dataBlocks + 2); // all zeros are one digest, the footer is another
  expect(digests[1]).toEqual(digests[0]);
});

test('making the demo disk stops when it is told to, and never touches a file that is there', async () => {
  const path = join(folder, 'disk.vhd');
  const stop = AbortSignal.abort(new Error('stopped by the user'));
  await expect(makeDemoDisk({ path, sizeBytes, createdAtMs }, stop)).rejects.toThrow('stopped by the user');
  await expect(makeDemoDisk({ path, sizeBytes, createdAtMs }, never)).rejects.toMatchObject({ code: 'EEXIST' });
});
