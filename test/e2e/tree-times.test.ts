import { chmodSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { bytesOf } from '../support/copying.js';
import { mountLoop, mountsAvailable } from '../support/mounts.js';
import { copyTreeNow, treeFolders, writeTree } from '../support/trees.js';

const OTHER = 'other bytes';

test('a file that is rewritten with its time put back is copied again, small or large', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { small: 'first bytes', large: bytesOf(9 * MiB, 'large') });
  const options = { sources: [`${source}/`], target, recursive: true };
  for (const name of ['small', 'large']) utimesSync(join(source, name), 1e9, 1e9);
  await copyTreeNow(options);
  for (const name of ['small', 'large']) {
    const path = join(source, name);
    const { size, mtimeMs } = statSync(path);
    writeFileSync(path, Buffer.concat([Buffer.from(OTHER), readFileSync(path).subarray(OTHER.length)]));
    utimesSync(path, 1e9, 1e9);
    expect(statSync(path)).toMatchObject({ size, mtimeMs });
  }
  expect(await copyTreeNow(options)).toMatchObject({ files: 0, refused: 2 });
  expect(await copyTreeNow({ ...options, overwrite: true })).toMatchObject({ files: 2, skipped: 0 });
  for (const name of ['small', 'large']) {
    expect(readFileSync(join(target, name)).equals(readFileSync(join(source, name)))).toBe(true);
  }
});

test('a file whose mode was changed is read once more, and is finished then', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { a: 'bytes' });
  const options = { sources: [`${source}/`], target, recursive: true };
  await copyTreeNow(options);
  chmodSync(join(source, 'a'), 0o600);
  for (let run = 0; run < 2; run++) expect(await copyTreeNow(options)).toMatchObject({ skipped: 1, refused: 0 });
});

test('where times are whole seconds, a change within the second of the last one is seen', async (context) => {
  context.skip(!mountsAvailable('ext4'), 'no loop mounts of ext4 here');
  const { folder: path, unmount } = await mountLoop('ext4', 64, ['-I', '128']);
  onTestFinished(() => unmount());
  const { source, target } = treeFolders(path);
  writeTree(source, { a: 'old' });
  const options = { sources: [`${source}/`], target, recursive: true };
  await copyTreeNow(options);
  writeFileSync(join(source, 'a'), 'new');
  expect(await copyTreeNow({ ...options, overwrite: true })).toMatchObject({ files: 1, skipped: 0 });
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('new');
  const [from, to] = [join(path, 'from'), join(path, 'to')];
  writeFileSync(from, bytesOf(MiB, 'one'));
  const changed = statSync(from).mtimeMs;
  await copy({ source: from, target: to }).result;
  expect(Date.now()).toBeGreaterThanOrEqual(changed + 2000);
});
