import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, verify } from '../../src/index.js';
import { encodeRecord } from '../../src/journal/journal.js';
import {
  bytesOf,
  copyNow,
  disturbedCopy,
  expectClear,
  expectDone,
  expectPartialOnly,
  expectSame,
  failureOf,
  leftIn,
  makeFile,
  type Pair,
  pairIn,
  partialCopy,
  scratchFolder,
  switchNative,
} from '../support/copying.js';
import { placeFor } from '../support/mounts.js';

const SIZE = 8 * MiB;

test('an existing target is left as it is, and replaced only on demand', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  writeFileSync(pair.target, 'precious');
  expectClear(await failureOf(copyNow(pair)), {
    code: 'E_TARGET_EXISTS',
    exitCode: 2,
    names: pair.target,
    says: /--overwrite/,
  });
  expect(readFileSync(pair.target, 'utf8')).toBe('precious');
  expect(leftIn(pair.folder)).toEqual([]);
  await copyNow({ ...pair, overwrite: true });
  expectDone(pair);
});

test('an existing target keeps its bytes until the new copy is whole', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  writeFileSync(pair.target, 'precious');
  await partialCopy({ ...pair, overwrite: true });
  expect(readFileSync(pair.target, 'utf8')).toBe('precious');
  expect((await copyNow({ ...pair, overwrite: true })).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
});

test.for(['0', '1'])(
  'a target that appears meanwhile is never replaced; --overwrite sends nothing again (BLOCKFERRY_NO_NATIVE=%s)',
  async (off) => {
    switchNative(off);
    const pair = pairIn(scratchFolder(), SIZE);
    const ended = await disturbedCopy(pair, () => writeFileSync(pair.target, 'appeared'));
    expectClear(ended, { code: 'E_TARGET_EXISTS', exitCode: 2, names: pair.target, says: /--overwrite/ });
    expect(readFileSync(pair.target, 'utf8')).toBe('appeared');
    expect(existsSync(pair.part) && existsSync(pair.journal)).toBe(true);
    const done = await copyNow({ ...pair, overwrite: true });
    expect(done).toMatchObject({ bytesReused: SIZE, bytesCopied: 0 });
    expectDone(pair);
  },
);

test('a symbolic link as target is replaced itself, and not what it points to', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const victim = join(pair.folder, 'victim');
  writeFileSync(victim, 'precious');
  for (const destination of [victim, join(pair.folder, 'nowhere'), pair.source]) {
    rmSync(pair.target, { force: true });
    symlinkSync(destination, pair.target);
    expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_TARGET_EXISTS' });
    expect(readlinkSync(pair.target)).toBe(destination);
    await copyNow({ ...pair, overwrite: true });
    expect(lstatSync(pair.target).isSymbolicLink()).toBe(false);
    expectDone(pair);
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(existsSync(join(pair.folder, 'nowhere'))).toBe(false);
    expect(readFileSync(pair.source).equals(bytesOf(SIZE, 'source'))).toBe(true);
  }
});

test('the target gets the permissions of the source, without what the umask takes', async () => {
  for (const [mode, umask] of [
    [0o640, 0o022],
    [0o777, 0o027],
    [0o444, 0o022],
    [0o4755, 0o077],
    [0o600, 0],
  ] as const) {
    const pair = pairIn(scratchFolder(), 10);
    chmodSync(pair.source, mode);
    const before = process.umask(umask);
    await copyNow(pair).finally(() => process.umask(before));
    expect((statSync(pair.target).mode & 0o7777).toString(8)).toBe((mode & 0o777 & ~umask).toString(8));
  }
});

test('files of no bytes, of one byte and of one byte more than a chunk are copied like any other', async () => {
  for (const size of [0, 1, 4095, 4096, 256 * 1024 + 1]) {
    for (const readBack of [false, true]) {
      const pair = pairIn(scratchFolder(), size);
      expect(await copyNow({ ...pair, readBack })).toMatchObject({
        bytesTotal: size,
        proof: readBack ? 'read-back' : 'written',
      });
      expectDone(pair);
      expect(await verify(pair).result).toMatchObject({ same: true });
    }
  }
});

test('a copy that is stopped at once keeps what there is, also of a file of no bytes', async () => {
  for (const size of [0, SIZE]) {
    const pair = pairIn(scratchFolder(), size);
    const stopped = await copy({ ...pair, signal: AbortSignal.abort() }).result.catch((error: unknown) => error);
    if (size > 0) expect(stopped).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
    if (!existsSync(pair.target)) await copyNow(pair);
    expectDone(pair);
  }
});

test.for(['ext4', 'xfs', 'btrfs', 'tmpfs'] as const)(
  '%s: a copy can be read back past the cache',
  async (place, context) => {
    const mount = await placeFor(context, place);
    const pair = pairIn(mount.folder, SIZE);
    const { proof } = await copyNow({ ...pair, readBack: true });
    // A tmpfs has nothing behind its cache; Linux lets O_DIRECT through there since 6.6, and refuses it before.
    if (place !== 'tmpfs') expect(proof).toBe('read-back');
    expectDone(pair);
  },
);

/** A copy that has everything, and whose process was killed after the `committing` record. */
async function killedInCommit(): Promise<Pair> {
  const pair = pairIn(scratchFolder(), SIZE);
  const ended = await disturbedCopy(pair, () => writeFileSync(pair.target, 'in the way'));
  expect(ended).toMatchObject({ code: 'E_TARGET_EXISTS' });
  rmSync(pair.target);
  const { dev, ino, mtimeNs } = statSync(pair.part, { bigint: true });
  const journal = readFileSync(pair.journal, 'utf8');
  const lines = journal.split(/(?<=\n)/).filter((line) => !line.includes(' stopped '));
  const root = '0'.repeat(16);
  if (!journal.includes(' committing ')) {
    lines.push(
      encodeRecord({
        type: 'committing',
        part: { device: `${dev}`, inode: `${ino}`, size: SIZE, mtimeNs: `${mtimeNs}` },
        root,
      }),
    );
  }
  writeFileSync(pair.journal, lines.join(''));
  expectPartialOnly(pair);
  return pair;
}

test('a commit that was cut short before the name was given proves everything again and gives it', async () => {
  const pair = await killedInCommit();
  expect(await copyNow(pair)).toMatchObject({ bytesReused: SIZE, bytesCopied: 0 });
  expectDone(pair);
});

test.for(['0', '1'])(
  'a commit that was cut short between link and unlink is finished by the next run (BLOCKFERRY_NO_NATIVE=%s)',
  async (off) => {
    switchNative(off);
    const pair = await killedInCommit();
    linkSync(pair.part, pair.target);
    expect(await copyNow(pair)).toMatchObject({ bytesTotal: SIZE, bytesCopied: 0 });
    expectDone(pair);
    expect(statSync(pair.target).nlink).toBe(1);
  },
);

test('a commit that was cut short after the name was given is tidied up by the next run', async () => {
  const pair = await killedInCommit();
  const aside = `${pair.source}.journal`;
  copyFileSync(pair.journal, aside);
  await copyNow(pair);
  copyFileSync(aside, pair.journal);
  const { ino, mtimeMs } = statSync(pair.target);
  expect(await copyNow(pair)).toMatchObject({ bytesTotal: SIZE, bytesCopied: 0, bytesReused: SIZE });
  expectDone(pair);
  expect(statSync(pair.target)).toMatchObject({ ino, mtimeMs });
  expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_TARGET_EXISTS' });
});

test.for([false, true])(
  'a finished commit of one source is never taken for a copy of another (--overwrite: %s)',
  async (overwrite) => {
    const pair = await killedInCommit();
    const aside = `${pair.source}.journal`;
    copyFileSync(pair.journal, aside);
    await copyNow(pair);
    copyFileSync(aside, pair.journal);
    const other = join(scratchFolder(), 'other.img');
    makeFile(other, SIZE, 'other');
    const ended = await copyNow({ ...pair, source: other, overwrite }).catch((error: unknown) => error);
    if (overwrite) {
      // Done, or refused: but never "done" with the bytes of the first source.
      if (!(ended instanceof Error)) expectSame(other, pair.target);
    } else expect(ended).toMatchObject({ exitCode: 2 });
    expect(
      [bytesOf(SIZE, 'source'), bytesOf(SIZE, 'other')].some((bytes) => bytes.equals(readFileSync(pair.target))),
    ).toBe(true);
  },
);

test('a finished commit whose source has changed since is not called a copy of it', async () => {
  const pair = await killedInCommit();
  const aside = `${pair.source}.journal`;
  copyFileSync(pair.journal, aside);
  await copyNow(pair);
  copyFileSync(aside, pair.journal);
  makeFile(pair.source, SIZE, 'changed');
  expect(await failureOf(copyNow(pair))).toMatchObject({ exitCode: 2 });
  expect(readFileSync(pair.target).equals(bytesOf(SIZE, 'source'))).toBe(true);
});

test('a committing record does not make a stranger under the name of the target a finished copy', async () => {
  const pair = await killedInCommit();
  writeFileSync(pair.target, 'stranger');
  expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  expect(readFileSync(pair.target, 'utf8')).toBe('stranger');
  rmSync(pair.target);
  expect(await copyNow(pair)).toMatchObject({ bytesReused: SIZE });
  expectDone(pair);
});
