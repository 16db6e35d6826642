import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { NEVER, newStop } from '../../src/core/stop.js';
import { MiB } from '../../src/core/units.js';
import { copy, describeDisk } from '../../src/index.js';
import { LocalFiles } from '../../src/migrate/local-files.js';
import { failureOf, makeFile, scratchFolder } from '../support/copying.js';
import { needQemuImg, runTool } from '../support/disk-tools.js';
import { inlineRunner } from '../support/migrating.js';

function localFiles(): LocalFiles {
  const files = new LocalFiles({ newRunner: inlineRunner, clock: systemClock, random: () => 0 });
  onTestFinished(() => files.close());
  return files;
}

test('a file is digested as sha256sum does, and as a copy with that algorithm does', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source');
  makeFile(source, 9 * MiB + 5);
  const target = join(folder, 'target');
  const { root } = await copy({ source, target, algorithm: 'sha256', chunkBytes: 8 * MiB }).result;
  const sha256 = createHash('sha256').update(readFileSync(source)).digest('hex');
  expect(await localFiles().digest(target, true, NEVER)).toEqual({
    ...{ bytes: 9 * MiB + 5, chunkBytes: 8 * MiB, root, sha256 },
  });
  expect(await localFiles().digest(target, false, NEVER)).not.toHaveProperty('sha256');
  const stopped = newStop();
  stopped.abort();
  expect(await failureOf(localFiles().digest(target, true, stopped.signal))).toMatchObject({ code: 'E_STOPPED' });
});

test('a file that is changed has another version, and one that is missing none', async () => {
  const path = join(scratchFolder(), 'file');
  const files = localFiles();
  expect(await files.stat(path)).toBeUndefined();
  writeFileSync(path, 'one');
  const before = await files.stat(path);
  expect(before?.bytes).toBe(3);
  writeFileSync(path, 'other');
  expect((await files.stat(path))?.version).not.toBe(before?.version);
  await files.remove(path);
  await files.remove(path);
  expect(await files.stat(path)).toBeUndefined();
});

test('an overlay that was copied names the base beside it, and not the one that it was made on', async (context) => {
  needQemuImg(context);
  const [source, target] = [join(scratchFolder(), 'a'), join(scratchFolder(), 'b')];
  for (const folder of [source, target]) {
    mkdirSync(folder);
    makeFile(join(folder, 'd0.img'), MiB, 'base');
  }
  const [overlay, base] = [join(target, 'd0-1.overlay'), join(target, 'd0.img')];
  runTool('qemu-img', ['create', '-f', 'qcow2', '-F', 'raw', '-b', join(source, 'd0.img'), overlay]);
  const files = localFiles();
  await files.repoint(overlay, base);
  await files.repoint(overlay, base);
  const { images } = await describeDisk(overlay);
  expect(images.map(({ name }) => name)).toEqual([overlay, base]);
});
