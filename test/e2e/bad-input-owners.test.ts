/** Who owns partials and targets: other users, mounts that map owners, and commits that had given the part away. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { AS_NOBODY, NOBODY, needRoot, startCopy } from '../support/copy-process.js';
import {
  copyNow,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  type Pair,
  pairIn,
  partialCopy,
  scratchFolder,
} from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { mountsAvailable } from '../support/mounts.js';

const SIZE = 8 * MiB;

/** A partial copy that belongs to nobody, in a folder of nobody's. */
async function partialOfNobody(): Promise<Pair> {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  for (const path of [pair.folder, pair.part, pair.journal, pair.source]) chownSync(path, NOBODY, NOBODY);
  for (const path of [pair.folder, dirname(pair.source)]) chmodSync(path, 0o755);
  return pair;
}

test.for(['444', '0'])(
  'a part that a commit had given mode %s to is opened again by the user who made it',
  async (mode, context) => {
    needRoot(context);
    const pair = await partialOfNobody();
    chmodSync(pair.part, Number.parseInt(mode, 8));
    const { exitCode, result } = await startCopy(pair, { through: AS_NOBODY }).ended;
    expect(exitCode).toBe(0);
    expect(result?.bytesReused).toBeGreaterThanOrEqual(2 * MiB);
    expect(statSync(pair.target).mode & 0o777).toBe(0o644);
    expectDone(pair);
  },
);

test('what is not ours is not made ours: its permissions stay as they are', async (context) => {
  needRoot(context);
  const pair = await partialOfNobody();
  chownSync(pair.part, 0, 0);
  chmodSync(pair.part, 0);
  expect(await startCopy(pair, { through: AS_NOBODY }).ended).toMatchObject({ error: { code: 'E_PART_UNSAFE' } });
  expect(statSync(pair.part).mode & 0o777).toBe(0);
});

test('--overwrite keeps the owner and the permissions of what it replaces', async (context) => {
  needRoot(context);
  const pair = pairIn(scratchFolder(), SIZE);
  writeFileSync(pair.target, 'old');
  chmodSync(pair.target, 0o640);
  chownSync(pair.target, 1234, 2345);
  await copyNow({ ...pair, overwrite: true });
  expect(statSync(pair.target)).toMatchObject({ uid: 1234, gid: 2345 });
  expect(statSync(pair.target).mode & 0o7777).toBe(0o640);
  expectDone(pair);
});

test('a file of somebody else is not replaced by one that cannot have its owner', async (context) => {
  needRoot(context);
  const pair = await partialOfNobody();
  writeFileSync(pair.target, 'old');
  const { error } = await startCopy({ ...pair, overwrite: true }, { through: AS_NOBODY }).ended;
  expect(error).toMatchObject({ code: 'E_TARGET_ACCESS', hint: expect.stringMatching(/Remove it, or copy as root/) });
  expect(readFileSync(pair.target, 'utf8')).toBe('old');
  rmSync(pair.target);
  const { result } = await startCopy(pair, { through: AS_NOBODY }).ended;
  expect(result).toMatchObject({ bytesReused: SIZE });
  expectDone(pair);
});

test('a commit that died when the part had its new owner takes it back and goes on', async (context) => {
  needRoot(context);
  const pair = pairIn(scratchFolder(), SIZE);
  writeFileSync(pair.target, 'old');
  chownSync(pair.target, 1234, 2345);
  const dying: FileLayer = {
    ...realFiles,
    renameSync: () => {
      throw new Error('this process was killed');
    },
  };
  await expect(inlineTransfer({ ...pair, files: dying, overwrite: true }).run()).rejects.toThrow();
  expect(statSync(pair.part).uid).toBe(1234);
  const seen: string[] = [];
  // The journal is cut to its good length when the part was opened, and before anything is proven.
  const watching: FileLayer = {
    ...realFiles,
    ftruncateSync: (fd, size) => {
      const { uid, mode } = statSync(pair.part);
      seen.push(`${uid} ${(mode & 0o777).toString(8)}`);
      realFiles.ftruncateSync(fd, size);
    },
  };
  const done = await inlineTransfer({ ...pair, files: watching, overwrite: true }).run();
  expect(done).toMatchObject({ bytesReused: SIZE });
  expect(seen).toEqual(['0 600']);
  expect(statSync(pair.target)).toMatchObject({ uid: 1234, gid: 2345 });
  expectDone(pair);
});

/** A mount that shows all files as those of one user, new ones included, as root_squash and vfat do. */
function mapped(context: TestContext): { readonly folder: string; readonly behind: string } {
  const able = mountsAvailable() && existsSync('/dev/fuse') && existsSync('/usr/bin/bindfs');
  context.skip(!able, 'needs bindfs and FUSE');
  const scratch = scratchFolder();
  const [folder, behind] = [join(scratch, 'mapped'), join(scratch, 'behind')];
  mkdirSync(folder);
  mkdirSync(behind);
  execFileSync('bindfs', ['--force-user=1234', '--force-group=1234', '--chown-ignore', behind, folder]);
  onTestFinished(() => void execFileSync('umount', [folder]));
  return { folder, behind };
}

test('where a mount shows our files as those of somebody else, a partial is still known as ours', async (context) => {
  const { folder, behind } = mapped(context);
  const pair = pairIn(folder, SIZE);
  await partialCopy(pair);
  expect(statSync(pair.part).uid).toBe(1234);
  expect((await copyNow(pair)).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
  expect(readdirSync(behind)).toEqual(['target.img']);
});

/** Root's own files show as nobody's, all others as they are: root_squash. */
function squashing(): FileLayer {
  const show = <S extends { uid: bigint } | undefined>(stat: S): S =>
    stat?.uid === 0n ? Object.assign(stat, { uid: BigInt(NOBODY) }) : stat;
  return {
    ...realFiles,
    fstat: (fd) => show(realFiles.fstat(fd)),
    lstat: (path) => show(realFiles.lstat(path)),
    stat: (path) => show(realFiles.stat(path)),
  };
}

test('where root is squashed, its own partial goes on and one of another user is refused', async (context) => {
  needRoot(context);
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  for (const planted of [pair.part, pair.journal]) {
    chownSync(planted, 1234, 1234);
    const refused = await failureOf(inlineTransfer({ ...pair, files: squashing() }).run());
    expectClear(refused, { code: 'E_PART_UNSAFE', exitCode: 2, names: planted, says: /remove it/ });
    expect(refused.message).toContain('belongs to uid 1234');
    chownSync(planted, 0, 0);
  }
  expectPartialOnly(pair);
  expect(readdirSync(pair.folder)).toHaveLength(2);
  expect((await inlineTransfer({ ...pair, files: squashing() }).run()).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
});

test('a file that shows the uid of nobody is not ours where our files show our own', async (context) => {
  needRoot(context);
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  chownSync(pair.part, NOBODY, NOBODY);
  expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_PART_UNSAFE' });
  rmSync(pair.part);
});
