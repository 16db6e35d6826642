/** Copies that make a disk of another kind, by the whole engine on one thread, judged by QEMU. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { LayoutKind } from '../../src/disk/layout.js';
import { LAYOUT_KINDS } from '../../src/disk/layouts.js';
import { leftovers } from '../support/crash-run.js';
import { contentOf, needQemuImg, newDisk, QEMU_FORMAT, sameContent } from '../support/disks.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const scratch = mkdtempSync(join(tmpdir(), 'disk-copy-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SIZE = 21 * MiB + 3 * 512;
const raw = join(scratch, 'disk.raw');
beforeAll(() => writeMixedFile(raw, SIZE, new Seeded(31), 3 * MiB));

function convert(source: string, target: string, layout: LayoutKind, more: Partial<InlineOptions> = {}) {
  const ends = { source: contentOf(source), target: newDisk(target, layout) };
  return inlineTransfer({ ...ends, chunkBytes: MiB, lanes: 3, ...more });
}

test.for(LAYOUT_KINDS)('a raw disk becomes %s and raw again, with the same content', async (layout, context) => {
  needQemuImg(context);
  const [there, back] = [join(scratch, `there.${layout}`), join(scratch, `back.${layout}.raw`)];
  const result = await convert(raw, there, layout, { readBack: true }).run();
  expect(sameContent(raw, 'raw', there, QEMU_FORMAT[layout])).toBe(true);
  expect(result).toMatchObject({ bytesTotal: SIZE, proof: 'read-back' });
  const again = await convert(there, back, 'raw').run();
  expect(readFileSync(back).equals(readFileSync(raw))).toBe(true);
  // The content is the same, and so is its root; the containers are not.
  expect(again.root).toBe(result.root);
  expect(leftovers(back)).toEqual([]);
});
