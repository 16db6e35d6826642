import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { status, verify } from '../../src/index.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { startCopy } from '../support/copy-process.js';
import {
  bytesOf,
  CHUNK,
  copyNow,
  disturbedCopy,
  expectClear,
  expectSame,
  failureOf,
  firstDifference,
  makeFile,
  partialCopy,
  scratchFolder,
} from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { attachLoop, mountsAvailable } from '../support/mounts.js';

const SIZE = 16 * MiB;
let state: string;
let source: string;

beforeEach(() => {
  state = join(scratchFolder(), 'state');
  vi.stubEnv('BLOCKFERRY_STATE', state);
  source = makeFile(join(scratchFolder(), 'source.img'), SIZE) as string;
  return () => void vi.unstubAllEnvs();
});

/** A device full of other bytes. */
async function device(context: TestContext, sizeMiB: number): Promise<string> {
  context.skip(!mountsAvailable(), 'needs loop devices in a private namespace');
  const loop = await attachLoop(sizeMiB);
  onTestFinished(() => loop.detach());
  execFileSync('dd', [`of=${loop.path}`, 'bs=1M', 'conv=fsync', 'status=none'], {
    input: bytesOf(sizeMiB * MiB, 'old'),
  });
  return loop.path;
}

const headOf = (path: string, length = 4096): Buffer =>
  execFileSync('dd', [`if=${path}`, `bs=${length}`, 'count=1', 'status=none']);
const isOld = (path: string): boolean => headOf(path).equals(bytesOf(4096, 'old'));
const journals = (): string[] => {
  mkdirSync(join(state, 'devices'), { recursive: true });
  return readdirSync(join(state, 'devices'));
};

test('a device is written over only on demand, and nothing of the attempt stays', async (context) => {
  const target = await device(context, 16);
  expectClear(await failureOf(copyNow({ source, target })), {
    code: 'E_TARGET_EXISTS',
    exitCode: 2,
    names: target,
    says: /--overwrite/,
  });
  expect(isOld(target)).toBe(true);
  expect(journals()).toEqual([]);
  await copyNow({ source, target, overwrite: true });
  expect(firstDifference(source, target, SIZE)).toBe(-1);
  expect(journals()).toEqual([]);
});

test('a mounted device is refused, unharmed, and copied to once it is unmounted', async (context) => {
  const target = await device(context, 16);
  execFileSync('mkfs.ext4', ['-q', '-F', target]);
  const folder = scratchFolder();
  execFileSync('mount', [target, folder]);
  const unmount = (): void => void execFileSync('umount', [folder]);
  try {
    writeFileSync(join(folder, 'file'), 'precious');
    const error = await failureOf(copyNow({ source, target, overwrite: true }));
    expectClear(error, { code: 'E_TARGET_ACCESS', exitCode: 2, names: target, says: /Unmount it/ });
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('precious');
    expect(journals()).toEqual([]);
  } finally {
    unmount();
  }
  const other = makeFile(join(scratchFolder(), 'other.img'), SIZE, 'other') as string;
  await copyNow({ source: other, target, overwrite: true });
  expect(firstDifference(other, target, SIZE)).toBe(-1);
});

test('a device that is too small is refused with both sizes, and unharmed', async (context) => {
  const target = await device(context, 15);
  const error = await failureOf(copyNow({ source, target, overwrite: true }));
  expectClear(error, { code: 'E_TOO_LARGE', exitCode: 3, names: target, says: /larger device/ });
  expect(error.message).toMatch(/15728640.*16777216/);
  expect(isOld(target)).toBe(true);
  expect(journals()).toEqual([]);
  const fitting = makeFile(join(scratchFolder(), 'fitting.img'), 15 * MiB, 'fitting') as string;
  await copyNow({ source: fitting, target, overwrite: true });
  expectSame15(fitting, target);
});
const expectSame15 = (one: string, other: string): void => expect(firstDifference(one, other, 15 * MiB)).toBe(-1);

test('a device that was left half way does not look like a disk yet; the same command goes on', async (context) => {
  const target = await device(context, 16);
  const options = { source, target, overwrite: true, chunkBytes: CHUNK };
  const run = startCopy({ ...options, limitBytesPerSecond: 4 * MiB });
  await run.reached(10 * MiB);
  await run.kill();
  expect(isOld(target)).toBe(true);
  expect((await status(target)).partial).toMatchObject({ bytesTotal: SIZE });
  // Without the word again, a device that is not finished is not written to either.
  expect(await failureOf(copyNow({ source, target }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  const done = await copyNow(options);
  expect(done.bytesReused).toBeGreaterThanOrEqual(6 * MiB);
  expect(done.bytesReused + done.bytesCopied).toBe(SIZE);
  expect(firstDifference(source, target, SIZE)).toBe(-1);
  expect(journals()).toEqual([]);
});

test('the last chunk of a device is written last, too', async (context) => {
  const target = await device(context, 16);
  await disturbedCopy({ source, target, overwrite: true, chunkBytes: CHUNK }, (run) => run.suspend(), {
    atBytes: 12 * MiB,
    rate: 4 * MiB,
  });
  const tail = execFileSync('tail', ['-c', '4096', target]);
  expect(tail.equals(bytesOf(SIZE, 'old').subarray(-4096))).toBe(true);
  expect(isOld(target)).toBe(true);
  await copyNow({ source, target, overwrite: true });
  expect(firstDifference(source, target, SIZE)).toBe(-1);
});

test('what somebody else writes to an unfinished device is found and written again', async (context) => {
  const target = await device(context, 16);
  await partialCopy({ source, target, overwrite: true }, 6 * MiB);
  const claimed = (await status(target)).partial?.bytesClaimed ?? 0;
  execFileSync('dd', [`of=${target}`, 'bs=1', `seek=${2 * MiB + 7}`, 'conv=notrunc,fsync', 'status=none'], {
    input: 'intruder',
  });
  expect(await copyNow({ source, target, overwrite: true })).toMatchObject({ bytesReused: claimed - CHUNK });
  expect(firstDifference(source, target, SIZE)).toBe(-1);
});

test('zeroes of a sparse source are zeroes on a device that was full of other bytes', async (context) => {
  const target = await device(context, 16);
  const sparse = join(scratchFolder(), 'sparse.img');
  execFileSync('truncate', ['-s', '16M', sparse]);
  execFileSync('dd', [`of=${sparse}`, 'bs=1', `seek=${5 * MiB + 100}`, 'conv=notrunc', 'status=none'], {
    input: 'data',
  });
  for (const off of ['0', '1']) {
    vi.stubEnv('BLOCKFERRY_NO_NATIVE', off);
    execFileSync('dd', [`of=${target}`, 'bs=1M', 'conv=fsync', 'status=none'], { input: bytesOf(SIZE, 'old') });
    await copyNow({ source: sparse, target, overwrite: true });
    expect(firstDifference(sparse, target, SIZE)).toBe(-1);
    vi.stubEnv('BLOCKFERRY_NO_NATIVE', '0');
  }
});

test('a device is copied into a file, stopped, resumed and compared; a change in between is found', async (context) => {
  const disk = await device(context, 16);
  const target = join(scratchFolder(), 'disk.img');
  await partialCopy({ source: disk, target }, 6 * MiB);
  const claimed = (await status(target)).partial?.bytesClaimed ?? 0;
  // A device has no version: what is claimed is read again at the source.
  execFileSync('dd', [`of=${disk}`, 'bs=1', 'seek=1000', 'conv=notrunc,fsync', 'status=none'], { input: 'changed' });
  expect(await copyNow({ source: disk, target })).toMatchObject({ bytesReused: claimed - CHUNK });
  expect(firstDifference(disk, target, SIZE)).toBe(-1);
  expect(await verify({ source: disk, target }).result).toMatchObject({ same: true });
});

test('a comparison of a device with its source says yes, and where it was changed', async (context) => {
  const target = await device(context, 16);
  await copyNow({ source, target, overwrite: true, readBack: true });
  expect(await verify({ source, target }).result).toMatchObject({ same: true });
  execFileSync('dd', [`of=${target}`, 'bs=1', 'seek=5000000', 'conv=notrunc,fsync', 'status=none'], {
    input: Buffer.from([0, 0]),
  });
  const { same, differing } = await verify({ source, target }).result;
  expect(same).toBe(false);
  expect(differing[0]?.offset).toBeGreaterThanOrEqual(5_000_000);
  expect(differing[0]?.offset).toBeLessThanOrEqual(5_000_001);
});

test('a device that is larger than its source holds the same bytes, and the rest is not compared', async (context) => {
  const target = await device(context, 20);
  await copyNow({ source, target, overwrite: true });
  expect(await verify({ source, target }).result).toMatchObject({ same: true });
});

test('a device is never copied onto itself', async (context) => {
  const disk = await device(context, 16);
  expectClear(await failureOf(copyNow({ source: disk, target: disk, overwrite: true })), {
    code: 'E_USAGE',
    exitCode: 2,
    names: disk,
  });
  expect(journals()).toEqual([]);
  expectSame(disk, disk);
});

test.for([
  ['is a hole', 'truncate -s 0 "$0"; truncate -s 16M "$0"; printf data | dd of="$0" bs=1M seek=7 conv=notrunc'],
  [
    'holds written zeroes',
    'dd if=/dev/zero of="$0" bs=1M count=1 conv=notrunc; dd if="$0" of="$0" bs=1M count=1 seek=15',
  ],
] as const)(
  'a first and last chunk that %s at the source are zero on the device, in the root and when read back',
  async ([, make], context) => {
    const target = await device(context, 16);
    execFileSync('sh', ['-ec', make.replaceAll('conv=notrunc', 'conv=notrunc status=none'), source], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const plain = await copyNow({ source, target: join(scratchFolder(), 'plain.img') });
    for (const readBack of [false, true]) {
      execFileSync('dd', [`of=${target}`, 'bs=1M', 'conv=fsync', 'status=none'], { input: bytesOf(SIZE, 'old') });
      const { root, proof } = await copyNow({ source, target, overwrite: true, readBack });
      expect({ root, proof }).toEqual({ root: plain.root, proof: readBack ? 'read-back' : 'written' });
      expect(firstDifference(source, target, SIZE)).toBe(-1);
    }
    expect(headOf(target).equals(Buffer.alloc(4096))).toBe(true);
  },
);

test('a first chunk that is found wrong is written again when the others are mended', async (context) => {
  const target = await device(context, 16);
  const options = { source, target, overwrite: true, chunkBytes: CHUNK, lanes: 1 };
  const dying: FileLayer = {
    ...realFiles,
    unlinkSync: () => {
      throw new Error('this process was killed');
    },
  };
  await expect(inlineTransfer({ ...options, files: dying }).run()).rejects.toThrow();
  expect((await status(target)).partial).toMatchObject({ bytesClaimed: SIZE });
  for (const chunk of [0, 9, 63]) {
    execFileSync('dd', [`of=${target}`, `bs=${CHUNK}`, `seek=${chunk}`, 'conv=notrunc,fsync', 'status=none'], {
      input: 'intruder',
    });
  }
  const written: number[] = [];
  const writeSync = (fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
    if (length === CHUNK) written.push(at / CHUNK);
    return realFiles.writeSync(fd, bytes, from, length, at);
  };
  const files: FileLayer = { ...realFiles, writeSync: writeSync as FileLayer['writeSync'] };
  await inlineTransfer({ ...options, files, blockBytes: CHUNK }).run();
  expect([written[0], new Set(written)]).toEqual([9, new Set([0, 9, 63])]);
  expect(firstDifference(source, target, SIZE)).toBe(-1);
  expect(journals()).toEqual([]);
});
