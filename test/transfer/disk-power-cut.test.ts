/** A power cut at any moment of a copy that makes a disk: what is under the name is the whole disk, or nothing is. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { KiB } from '../../src/core/units.js';
import type { LayoutKind } from '../../src/disk/layout.js';
import { partPath } from '../../src/endpoint/part-names.js';
import { openDisk } from '../../src/index.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { leftovers } from '../support/crash-run.js';
import { contentOf, newDisk } from '../support/disks.js';
import { FakeClock } from '../support/fake-clock.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { cutAfter, diskAfter, fatesOf, reboot } from '../support/power-cut.js';
import { RecordingFiles } from '../support/recording-files.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? 20260102);
const scratch = mkdtempSync(join(tmpdir(), 'disk-power-cut-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const source = join(scratch, 'disk.raw');
writeMixedFile(source, 90 * KiB, new Seeded(seed), 20 * KiB);
const content = readFileSync(source);

let folders = 0;
function newFolder(): string {
  const folder = join(scratch, `folder-${folders++}`);
  mkdirSync(folder);
  return folder;
}

const targetIn = (folder: string): string => join(folder, 'copy.vhd');

function run(folder: string, layout: LayoutKind, files: FileLayer = realFiles) {
  // Time passes with every look, so that there is a checkpoint every few chunks.
  const clock = new FakeClock({ lookMs: 60 });
  const ends = { source: contentOf(source), target: newDisk(targetIn(folder), layout) };
  return inlineTransfer({ ...ends, files, clock, chunkBytes: 8 * KiB, blockBytes: 4 * KiB, lanes: 2 });
}

/** By its own marks: a VHD ends with a footer. */
async function whatIsAt(path: string): Promise<'nothing' | 'no disk' | 'whole' | 'wrong'> {
  if (!existsSync(path)) return 'nothing';
  if (!readFileSync(path).subarray(-512).toString('latin1').startsWith('conectix')) return 'no disk';
  const disk = await openDisk(path).catch((thrown) => (thrown instanceof TransferError ? undefined : thrown));
  if (!disk) return 'wrong';
  try {
    return content.equals(await disk.read({ offset: 0, length: content.length })) ? 'whole' : 'wrong';
  } finally {
    await disk.close();
  }
}

// The file of a dynamic one is larger by a block of 2 MiB: there only what comes after the chunks is tried.
test.for([
  { layout: 'vhd-fixed', lastEntries: Number.POSITIVE_INFINITY, samples: 4 },
  { layout: 'vhd-dynamic', lastEntries: 14, samples: 1 },
] as const)('a power cut while a disk is made leaves nothing or all of it: $layout', async (options) => {
  const { layout, lastEntries, samples } = options;
  const recording = new RecordingFiles(newFolder());
  await run(join(scratch, `folder-${folders - 1}`), layout, recording.layer).run();
  const seeded = new Seeded(seed);
  const seen = new Set<string>();
  for (let count = Math.max(0, recording.log.length - lastEntries); count <= recording.log.length; count++) {
    const cut = cutAfter(recording.log, count);
    for (const fates of fatesOf(cut.pending, samples, seeded)) {
      const { folder, files } = reboot(diskAfter(recording, cut, fates), recording, newFolder());
      const about = `seed ${seed}, cut after entry ${count} of the log, fates ${JSON.stringify(fates)}`;
      const [part, before] = [await whatIsAt(partPath(targetIn(folder))), await whatIsAt(targetIn(folder))];
      seen.add(`${part}, ${before}`);
      // What makes it a disk is written when all else is durable: an unfinished one never looks like a disk.
      expect(['nothing', 'no disk', 'whole'], about).toContain(part);
      expect(['nothing', 'whole'], about).toContain(before);
      const code = await run(folder, layout, files)
        .run()
        .then(
          () => undefined,
          (thrown) => (thrown instanceof TransferError ? thrown.code : Promise.reject(thrown)),
        );
      if (before === 'whole' && code === 'E_TARGET_EXISTS') expect(leftovers(targetIn(folder)), about).toEqual([]);
      else expect({ code, left: leftovers(targetIn(folder)) }, about).toEqual({ code: undefined, left: [] });
      expect(await whatIsAt(targetIn(folder)), about).toBe('whole');
      rmSync(folder, { recursive: true });
    }
  }
  expect([...seen].sort()).toEqual(expect.arrayContaining(['no disk, nothing', 'nothing, whole', 'whole, nothing']));
});
