import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { verify } from '../../src/index.js';
import { checkManifest } from '../../src/journal/manifest-reader.js';
import { copyNow, failureOf, leftIn, pairIn, patch, scratchFolder } from '../support/copying.js';
import { type Kill, leftovers, runCrashChild } from '../support/crash-run.js';

const KILLS: readonly Kill[] = [
  { at: 'state', state: 'transferring' },
  { at: 'checkpoint', nth: 1 },
  { at: 'file-call', call: 'publishNew', nth: 1, when: 'before' },
  { at: 'file-call', call: 'publishNew', nth: 1, when: 'after' },
  { at: 'file-call', call: 'unlinkSync', nth: 1, when: 'before' },
  { at: 'file-call', call: 'unlinkSync', nth: 1, when: 'after' },
  { at: 'state', state: 'acknowledged' },
];

test.for(KILLS)('a copy never ends without its manifest, however it was killed: %j', async (kill) => {
  const pair = pairIn(scratchFolder(), 6 * MiB + 5);
  const manifest = join(pair.folder, 'copy.manifest');
  const options = { source: pair.source, target: pair.target, chunkBytes: 256 * KiB, manifest };
  const killed = await runCrashChild(options, kill);
  expect(killed.killed, JSON.stringify(killed)).toBe(true);
  // As long as the manifest is missing, a journal is there from which the next run makes it.
  const journalLeft = existsSync(pair.journal);
  if (!journalLeft) expect(await checkManifest(manifest)).toMatchObject({ files: 1 });
  if (journalLeft) {
    const next = await runCrashChild(options, { at: 'never' });
    expect(next.exitCode, JSON.stringify(next)).toBe(0);
  }
  expect(await verify({ target: pair.target, manifest }).result).toMatchObject({ same: true });
  expect(leftovers(pair.target)).toEqual([]);
});

test('a manifest that cannot be made of a damaged journal is told, and the target stands', async () => {
  const pair = pairIn(scratchFolder(), 2 * MiB);
  const manifest = join(pair.folder, 'copy.manifest');
  const options = { source: pair.source, target: pair.target, chunkBytes: 256 * KiB, manifest };
  await runCrashChild(options, { at: 'file-call', call: 'unlinkSync', nth: 1, when: 'before' });
  rmSync(manifest);
  const journal = readFileSync(pair.journal, 'utf8');
  writeFileSync(pair.journal, journal.replace(/ chunk 3 \w/, ' chunk 3 x'));
  expect(await failureOf(copyNow(options))).toMatchObject({ code: 'E_JOURNAL_DAMAGED', exitCode: 5 });
  expect(readFileSync(pair.target).equals(readFileSync(pair.source))).toBe(true);
  expect(existsSync(manifest)).toBe(false);
  expect(await copyNow({ source: pair.source, target: pair.target })).toMatchObject({ bytesCopied: 0 });
  expect(leftIn(pair.folder)).toEqual([]);
  const made = await copyNow({ source: pair.target, target: 'null:', manifest });
  expect(made).toMatchObject({ manifest });
  expect(await verify({ target: pair.source, manifest }).result).toMatchObject({ same: true });
});

test('chunks of an earlier run stand in the manifest as the later run proved them', async () => {
  const pair = pairIn(scratchFolder(), 6 * MiB);
  const manifest = join(pair.folder, 'copy.manifest');
  const options = { source: pair.source, target: pair.target, chunkBytes: 256 * KiB, manifest };
  const slow = { ...options, limitBytesPerSecond: 4 * MiB };
  await runCrashChild(slow, { at: 'checkpoint', nth: 1 });
  expect(existsSync(manifest)).toBe(false);
  // What is on record is damaged: it is copied again, and the manifest speaks of what stands in the end.
  patch(pair.part, 1000, Buffer.from('damage'));
  const done = await copyNow(options);
  expect(done.bytesMismatched).toBeGreaterThan(0);
  expect(await verify({ target: pair.source, manifest }).result).toMatchObject({ same: true, root: done.root });
});
