/** Targets that take whole chunks alone, and sources that are read in one piece alone. */
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { Source } from '../../src/core/endpoint.js';
import { TransferError } from '../../src/core/errors.js';
import { CHUNK_LIMITS, type TargetSite } from '../../src/core/target.js';
import { GiB, KiB } from '../../src/core/units.js';
import { localScheme } from '../../src/endpoint/local.js';
import { realFiles } from '../../src/platform/file-layer.js';
import { chooseChunkBytes } from '../../src/transfer/sizing.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { Bucket } from '../support/bucket.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded } from '../support/seeded.js';

const CHUNK = 64 * KiB;
const SIZE = 10 * CHUNK + 17;

let folder: string;
let bucket: Bucket;
let bytes: Buffer;
const scratch = mkdtempSync(join(tmpdir(), 'whole-chunks-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'test-'));
  bucket = new Bucket(folder);
  bytes = new Seeded(5).bytes(SIZE);
  // Two chunks of zeroes: they are sent like all others.
  bytes.fill(0, 2 * CHUNK, 4 * CHUNK);
  writeFileSync(join(folder, 'disk'), bytes);
});

function copyToBucket(options: Partial<InlineOptions> = {}): Promise<TransferResult> {
  const registry = { bucket: () => bucket.scheme() };
  const target = { scheme: 'bucket', text: 'bucket://key', name: 'bucket://key' };
  const transfer = inlineTransfer({ source: join(folder, 'disk'), target, chunkBytes: CHUNK, registry, ...options });
  return transfer.run();
}

/** Fails for good once so many chunks were sent. */
function failAfter(chunks: number): Partial<InlineOptions> {
  const scheme = bucket.scheme();
  const failing = {
    ...scheme,
    attachTarget: async (ref: { scheme: string }) => {
      const target = await scheme.attachTarget?.(ref);
      if (!target) throw new Error('no target');
      const openChunk: typeof target.openChunk = (range, signal) => {
        if (bucket.sent >= chunks) throw new TransferError('E_AUTH', 'the key has expired');
        return target.openChunk(range, signal);
      };
      return { ...target, openChunk };
    },
  };
  return { registry: { bucket: () => failing } };
}

test('every chunk is sent whole, zeroes too, and the copy is what the source is', async () => {
  await copyToBucket();
  expect(bucket.object?.equals(bytes)).toBe(true);
  expect(bucket.sent).toBe(11);
  expect(existsSync(join(folder, '.key.blockferry-journal'))).toBe(false);
});

test('a hole of the source is sent as zeroes', async () => {
  const sparse = join(folder, 'sparse');
  writeFileSync(sparse, bytes.subarray(0, CHUNK));
  truncateSync(sparse, SIZE);
  await copyToBucket({ source: sparse });
  expect(bucket.object?.length).toBe(SIZE);
  expect(bucket.object?.subarray(CHUNK).equals(Buffer.alloc(SIZE - CHUNK))).toBe(true);
});

test('the next run asks for what is there, and sends only what is not', async () => {
  await expect(copyToBucket(failAfter(6))).rejects.toThrow(/expired/);
  const { bytesReused } = await copyToBucket();
  expect(bucket.object?.equals(bytes)).toBe(true);
  expect(bytesReused).toBe(6 * CHUNK);
  expect(bucket.sent).toBe(11);
});

test('a chunk that somebody replaced meanwhile is sent again', async () => {
  await expect(copyToBucket(failAfter(6))).rejects.toThrow(/expired/);
  const [parts] = bucket.uploads.values();
  parts?.set(CHUNK, { bytes: Buffer.alloc(CHUNK), token: 'of somebody else' });
  const { bytesReused, bytesMismatched } = await copyToBucket();
  expect({ bytesReused, bytesMismatched }).toEqual({ bytesReused: 5 * CHUNK, bytesMismatched: CHUNK });
  expect(bucket.object?.equals(bytes)).toBe(true);
});

test('partial data that is gone is told, and the copy begins afresh', async () => {
  await expect(copyToBucket(failAfter(6))).rejects.toThrow(/expired/);
  bucket.uploads.clear();
  const { bytesReused } = await copyToBucket();
  expect(bytesReused).toBe(0);
  expect(bucket.object?.equals(bytes)).toBe(true);
});

test('--discard throws away the partial data that only the journal knows of', async () => {
  await expect(copyToBucket(failAfter(6))).rejects.toThrow(/expired/);
  const { bytesReused } = await copyToBucket({ discard: true });
  expect(bytesReused).toBe(0);
  expect(bucket.uploads.size).toBe(0);
  expect(bucket.object?.equals(bytes)).toBe(true);
});

test.each([{ readBack: true }, { checksum: { kind: 'sha256' } as never }])(
  'what reads the partial copy is refused before anything is sent: %j',
  async (options) => {
    const error = await copyToBucket(options).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('bucket://key can be read when') });
    expect(bucket.uploads.size).toBe(0);
  },
);

test('a source that is read in one piece is one chunk, whatever its size', async () => {
  const scheme = localScheme(realFiles);
  const stream = (source: Source): Source => Object.assign(Object.create(source) as Source, { oneChunk: true });
  const registry = {
    stream: () => ({
      ...scheme,
      openSource: async () => {
        const text = join(folder, 'disk');
        return stream((await scheme.openSource?.({ scheme: 'file', text, name: text })) as Source);
      },
    }),
  };
  const source = { scheme: 'stream', text: 'stream:', name: 'stream:' };
  const result = await inlineTransfer({ source, target: join(folder, 'copy'), registry }).run();
  expect(result).toMatchObject({ chunkBytes: SIZE, bytesCopied: SIZE });
});

test('a source in one piece that is larger than any part of its target is refused before anything is sent', () => {
  const site = { name: 's3://b/k', wholeChunks: true, limits: { ...CHUNK_LIMITS, chunkBytesMax: 5 * GiB } };
  const choose = (size: number): number =>
    chooseChunkBytes({ rateBytesPerSecond: 0 }, { size, oneChunk: true }, site as unknown as TargetSite);
  expect(choose(5 * GiB)).toBe(5 * GiB);
  expect(() => choose(5 * GiB + 1)).toThrow(expect.objectContaining({ code: 'E_TOO_LARGE' }) as TransferError);
});
