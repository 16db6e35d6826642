/** `--delta`: a copy that takes over what stays the same from the target that it replaces. */
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { EndpointRef } from '../../src/core/endpoint.js';
import { TransferError } from '../../src/core/errors.js';
import { KiB } from '../../src/core/units.js';
import { localScheme } from '../../src/endpoint/local.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded } from '../support/seeded.js';

const CHUNK = 64 * KiB;
const SIZE = 16 * CHUNK + 99;

let source: string;
let target: string;
let old: Buffer;
let bytes: Buffer;
const scratch = mkdtempSync(join(tmpdir(), 'delta-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The new disk differs from the old one in chunks 3 and 9. */
beforeEach(() => {
  const folder = mkdtempSync(join(scratch, 'test-'));
  [source, target] = [join(folder, 'new'), join(folder, 'disk')];
  old = new Seeded(8).bytes(SIZE);
  bytes = Buffer.from(old);
  bytes.fill(1, 3 * CHUNK + 5, 3 * CHUNK + 6);
  bytes.fill(2, 9 * CHUNK, 10 * CHUNK);
  writeFileSync(source, bytes);
  writeFileSync(target, old);
});

function copyDelta(options: Partial<InlineOptions> = {}): Promise<TransferResult> {
  // Blocks of the source are not shared, so that what is sent can be told from what was taken over.
  const always = { delta: true, overwrite: true, reflink: 'never', chunkBytes: CHUNK } as const;
  return inlineTransfer({ source, target, ...always, ...options }).run();
}

const atTarget = (): boolean => readFileSync(target).equals(bytes);

test('only the chunks that differ are sent', async () => {
  const { bytesCopied, bytesAdopted, bytesReused } = await copyDelta();
  expect({ bytesCopied, bytesAdopted, bytesReused }).toEqual({
    bytesCopied: 2 * CHUNK,
    bytesAdopted: SIZE - 2 * CHUNK,
    bytesReused: 0,
  });
  expect(atTarget()).toBe(true);
});

test('the old file is replaced, and never patched: whoever has it open still reads the old disk', async () => {
  const fd = openSync(target, 'r');
  try {
    await copyDelta();
    const read = Buffer.alloc(SIZE);
    readSync(fd, read, 0, SIZE, 0);
    expect(read.equals(old)).toBe(true);
    expect(fstatSync(fd).ino).not.toBe(statSync(target).ino);
  } finally {
    closeSync(fd);
  }
});

test.each([
  { what: 'shorter', length: 5 * CHUNK + 1 },
  { what: 'longer', length: SIZE + 3 * CHUNK },
  { what: 'empty', length: 0 },
])('an old file that is $what is taken over as far as it goes', async ({ length }) => {
  truncateSync(target, length);
  const { bytesAdopted } = await copyDelta();
  const whole = Math.floor(Math.min(length, SIZE) / CHUNK);
  const tail = length > SIZE ? SIZE % CHUNK : 0;
  const differing = [3, 9].filter((chunk) => chunk < whole).length;
  expect(bytesAdopted).toBe((whole - differing) * CHUNK + tail);
  expect(atTarget()).toBe(true);
});

test('what was taken over is hashed where it lies, and copied where it is not what it should be', async () => {
  const files: FileLayer = { ...realFiles, cloneRange: () => undefined };
  const { bytesAdopted, bytesCopied } = await copyDelta({ files });
  expect({ bytesAdopted, bytesCopied }).toEqual({ bytesAdopted: 0, bytesCopied: SIZE });
  expect(atTarget()).toBe(true);
});

test('an old file that is written to while it is taken over leaves nothing where the new one has zeroes', async () => {
  bytes.fill(0, 5 * CHUNK, 7 * CHUNK);
  writeFileSync(target, bytes);
  writeFileSync(source, bytes.subarray(0, 5 * CHUNK));
  const fd = openSync(source, 'r+');
  writeSync(fd, bytes, 7 * CHUNK, SIZE - 7 * CHUNK, 7 * CHUNK);
  closeSync(fd);
  const dirt = Buffer.alloc(2 * CHUNK, 0xee);
  const cloneRange: FileLayer['cloneRange'] = (_old, part, { offset, length }) => {
    writeSync(part, dirt, 0, length, offset);
    return undefined;
  };
  const { bytesAdopted } = await copyDelta({ files: { ...realFiles, cloneRange }, chunkBytes: 2 * CHUNK });
  expect(bytesAdopted).toBe(0);
  expect(atTarget()).toBe(true);
});

test('an old file that cannot be read in a place has nothing to give there, and does not stop the copy', async () => {
  const { ino } = statSync(target);
  const readSync = (...args: readonly [fd: number, into: Uint8Array, at: number, length: number, position: number]) => {
    if (args[4] !== 5 * CHUNK || fstatSync(args[0]).ino !== ino) return realFiles.readSync(...args);
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
  };
  const { bytesCopied } = await copyDelta({ files: { ...realFiles, readSync: readSync as FileLayer['readSync'] } });
  expect(bytesCopied).toBe(3 * CHUNK);
  expect(atTarget()).toBe(true);
});

test('holes stay holes', async () => {
  const length = 8 * 1024 * KiB;
  for (const path of [source, target]) {
    writeFileSync(path, old.subarray(0, CHUNK));
    truncateSync(path, length);
  }
  await copyDelta({ chunkBytes: 1024 * KiB });
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
  expect(statSync(target).blocks * 512).toBeLessThan(1024 * KiB);
});

test('a copy that was stopped goes on, and proves what it had taken over', async () => {
  const scheme = localScheme(realFiles);
  let opened = 0;
  const failing = {
    ...scheme,
    attachSource: async (ref: EndpointRef) => {
      const end = await scheme.attachSource?.(ref);
      if (!end) throw new Error('no source');
      const openChunk = end.openChunk.bind(end);
      return Object.assign(end, {
        openChunk: (...args: Parameters<typeof openChunk>) => {
          if (++opened > 8) throw new TransferError('E_AUTH', 'shut out');
          return openChunk(...args);
        },
      });
    },
  };
  await expect(copyDelta({ registry: { file: () => failing } })).rejects.toThrow('shut out');
  const { bytesReused, bytesAdopted } = await copyDelta();
  expect(bytesReused).toBeGreaterThan(0);
  expect(bytesReused + bytesAdopted).toBeGreaterThanOrEqual(SIZE - 2 * CHUNK);
  expect(atTarget()).toBe(true);
});

test('without an old file all is copied', async () => {
  rmSync(target);
  expect((await copyDelta()).bytesCopied).toBe(SIZE);
  expect(atTarget()).toBe(true);
});

test('the old file is replaced only with --overwrite, and a link is no file to take anything from', async () => {
  await expect(copyDelta({ overwrite: false })).rejects.toMatchObject({ code: 'E_TARGET_EXISTS' });
  rmSync(target);
  symlinkSync(source, target);
  await expect(copyDelta()).rejects.toMatchObject({
    code: 'E_USAGE',
    message: expect.stringMatching(/^--delta: nothing/),
  });
});
