/** Copies that make a disk of another kind, by the whole engine on one thread, judged by QEMU. */
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { GiB, KiB, MiB } from '../../src/core/units.js';
import type { LayoutKind } from '../../src/disk/layout.js';
import { LAYOUT_KINDS } from '../../src/disk/layouts.js';
import { journalPath, partPath } from '../../src/endpoint/part-names.js';
import { openDisk } from '../../src/index.js';
import { encodeRecord } from '../../src/journal/journal.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { expectClear, failureOf } from '../support/copying.js';
import { leftovers } from '../support/crash-run.js';
import { needQemuImg } from '../support/disk-tools.js';
import { contentOf, newDisk, QEMU_FORMAT, qemuImg, qemuIo, sameContent } from '../support/disks.js';
import { FakeClock } from '../support/fake-clock.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { writeTestVhdx } from '../support/vhdx-images.js';

const scratch = mkdtempSync(join(tmpdir(), 'disk-copy-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SIZE = 21 * MiB + 3 * 512;
const raw = join(scratch, 'disk.raw');
beforeAll(() => writeMixedFile(raw, SIZE, new Seeded(31), 3 * MiB));

function newFolder(): string {
  const folder = mkdtempSync(join(scratch, 'copy-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function convert(source: string, target: string, layout: LayoutKind | 'flattened', more: Partial<InlineOptions> = {}) {
  const ends = { source: contentOf(source), target: newDisk(target, layout) };
  return inlineTransfer({ ...ends, chunkBytes: MiB, lanes: 3, ...more });
}

/** File calls whose storage is full after so many writes of blocks. */
function fullAfter(writes: number): FileLayer {
  let count = 0;
  const writeSync = (...args: [number, Uint8Array, number, number, number]): number => {
    // The journal has its space set aside.
    const isBlock = args[1].length > 4 * KiB;
    if (isBlock && ++count > writes) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    return realFiles.writeSync(...args);
  };
  return { ...realFiles, writeSync: writeSync as FileLayer['writeSync'], writeUncached: () => undefined };
}

const headerOf = (target: string): string => readFileSync(journalPath(target), 'utf8').split('\n')[1] ?? '';

test.for(LAYOUT_KINDS)('a raw disk becomes %s and raw again, with the same content', async (layout, context) => {
  needQemuImg(context);
  const folder = newFolder();
  const [there, back] = [join(folder, `there.${layout}`), join(folder, 'back.raw')];
  const result = await convert(raw, there, layout, { readBack: true }).run();
  expect(sameContent(raw, 'raw', there, QEMU_FORMAT[layout])).toBe(true);
  expect(result).toMatchObject({ bytesTotal: SIZE, proof: 'read-back', of: 'content' });
  const again = await convert(there, back, 'raw').run();
  expect(readFileSync(back).equals(readFileSync(raw))).toBe(true);
  // The content is the same, and so is its root; the containers are not.
  expect(again.root).toBe(result.root);
  expect(leftovers(back)).toEqual([]);
});

test.for(LAYOUT_KINDS)('a copy to %s that was stopped goes on, with the layout that it began with', async (layout) => {
  const folder = newFolder();
  const [target, back] = [join(folder, 'new.disk'), join(folder, 'back.raw')];
  // A flush every few chunks: time passes with every look.
  const clock = new FakeClock({ lookMs: 60 });
  const error = await failureOf(convert(raw, target, layout, { files: fullAfter(30), clock }).run());
  expect(error.code).toBe('E_NO_SPACE');
  const header = headerOf(target);
  // An unfinished disk does not look like one, by its own marks.
  const part = readFileSync(partPath(target));
  if (layout.startsWith('vhd')) {
    expect(part.subarray(-512).every((byte) => byte === 0)).toBe(true);
    if (layout !== 'vhd-fixed') expect(part.subarray(0, 512).every((byte) => byte === 0)).toBe(true);
  }
  const again = await failureOf(convert(raw, target, layout, { files: fullAfter(0) }).run());
  expect(again.code).toBe('E_NO_SPACE');
  expect(headerOf(target)).toBe(header);
  const result = await convert(raw, target, layout).run();
  expect(result.bytesReused).toBeGreaterThan(0);
  await convert(target, back, 'raw').run();
  expect(readFileSync(back).equals(readFileSync(raw))).toBe(true);
  expect(leftovers(target)).toEqual([]);
});

test('a partial copy of one kind is never taken up as one of another', async () => {
  const target = join(newFolder(), 'new.disk');
  await failureOf(convert(raw, target, 'vhdx', { files: fullAfter(10) }).run());
  const kept = readFileSync(partPath(target));
  for (const other of [
    convert(raw, target, 'vhd-dynamic'),
    convert(raw, target, 'raw'),
    inlineTransfer({ source: raw, target }),
  ]) {
    const error = await failureOf(other.run());
    expectClear(error, { code: 'E_PART_OTHER_SOURCE', exitCode: 2, names: 'partial copy', says: /--discard/ });
  }
  expect(readFileSync(partPath(target)).equals(kept)).toBe(true);
  await convert(raw, target, 'vhd-dynamic', { discard: true }).run();
});

test('a layout in a journal that somebody changed is refused, whatever it says', async () => {
  const target = join(newFolder(), 'new.disk');
  await failureOf(convert(raw, target, 'vhd-dynamic', { files: fullAfter(10) }).run());
  const [first, header = '', ...rest] = readFileSync(journalPath(target), 'utf8').split('\n');
  const said = JSON.parse(header.slice(header.indexOf('{')));
  const bad: Record<string, string | number>[] = [
    { kind: 'toString' },
    { size: -1 },
    { size: SIZE + 512 },
    { blockBytes: 1 },
    { blockBytes: 0.5 },
    { allocated: '' },
    { uniqueId: 'ab' },
    { createdAtMs: 'now' as never },
  ];
  for (const change of bad) {
    const layout = { ...said.header.layout, ...change };
    const line = encodeRecord({ type: 'header', header: { ...said.header, layout } });
    writeFileSync(journalPath(target), [first, line.trimEnd(), ...rest].join('\n'));
    const error = await failureOf(convert(raw, target, 'vhd-dynamic').run());
    expect(['E_JOURNAL_DAMAGED', 'E_PART_OTHER_SOURCE'], JSON.stringify(change)).toContain(error.code);
  }
});

test('the layout of a disk of a million blocks is kept by the journal, and is taken from it', async () => {
  const folder = newFolder();
  const [source, target, back] = ['huge.raw', 'huge.vhd', 'back.raw'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  // The largest VHD. Each of its blocks has 2 MiB; what is not written is a hole.
  const size = 2040 * GiB;
  const fd = realFiles.openSync(source, 'w');
  realFiles.ftruncateSync(fd, size);
  for (let block = 0; block < 1_044_480; block += 95_003) {
    realFiles.writeSync(fd, new Seeded(block).bytes(20 * KiB), 0, 20 * KiB, block * 2 * MiB + 777);
  }
  realFiles.closeSync(fd);
  await failureOf(convert(source, target, 'vhd-dynamic', { files: fullAfter(2), chunkBytes: 8 * MiB }).run());
  expect(headerOf(target).length).toBeGreaterThan(64 * KiB);
  const made = await convert(source, target, 'vhd-dynamic').run();
  expect(made.bytesTotal).toBe(size);
  const again = await convert(target, back, 'raw', { chunkBytes: 8 * MiB }).run();
  expect(again.root).toBe(made.root);
  expect(statSync(target).size).toBeLessThan(40 * MiB);
});

test('a chain of images becomes one disk', async (context) => {
  needQemuImg(context);
  const folder = newFolder();
  const [base, child, target] = ['base', 'child.qcow2', 'whole.raw'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  qemuImg('create', '-q', '-f', 'qcow2', base, '9M');
  qemuIo(base, 'qcow2', 'write -P 1 0 3M', 'write -P 2 5M 64k');
  qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base', child, '10M');
  qemuIo(child, 'qcow2', 'write -P 3 1M 100k', 'write -z 2M 512k', 'write -P 4 9500k 512');
  const alone = await failureOf(convert(child, target, 'raw').run());
  expect(alone).toMatchObject({ code: 'E_USAGE', hint: expect.stringContaining('--flatten') });
  const flattened = { source: contentOf(child, { parents: true }), target: newDisk(target, 'flattened') };
  const result = await inlineTransfer({ ...flattened, chunkBytes: MiB }).run();
  expect(result.of).toBe('content');
  expect(sameContent(child, 'qcow2', target, 'raw')).toBe(true);
  // The base is what the copy reads: it cannot be what it writes.
  const over = { ...flattened, target: newDisk(base, 'flattened'), overwrite: true };
  const error = await failureOf(inlineTransfer(over).run());
  expectClear(error, { code: 'E_USAGE', exitCode: 2, names: 'base is an image that the source builds on' });
});

test('a new disk in a folder is named after its source and what it is', async () => {
  const folder = newFolder();
  for (const [layout, name] of [
    ['vhdx', 'disk.vhdx'],
    ['vhd-fixed', 'disk.vhd'],
    ['raw', 'disk.raw'],
  ] as const) {
    const result = await convert(raw, folder, layout).run();
    expect(result.target).toBe(join(folder, name));
  }
  renameSync(join(folder, 'disk.vhdx'), join(folder, 'other.avhdx'));
  rmSync(join(folder, 'disk.vhd'));
  expect((await convert(join(folder, 'other.avhdx'), folder, 'flattened').run()).target).toBe(
    join(folder, 'other.vhdx'),
  );
});

test('the SHA-256 of a copy that makes a disk is that of the content', async () => {
  const target = join(newFolder(), 'new.vhdx');
  const plain = await inlineTransfer({
    source: raw,
    target: join(newFolder(), 'x'),
    checksum: { algorithm: 'sha256' },
  }).run();
  const result = await convert(raw, target, 'vhdx', { checksum: { algorithm: 'sha256' } }).run();
  expect(result.checksum).toEqual(plain.checksum);
  expect([result.of, plain.of]).toEqual(['content', 'container']);
});

test('a VHDX whose guest counts in sectors of 4096 bytes becomes one with such sectors', async () => {
  const folder = newFolder();
  const [source, target] = [join(folder, 'disk.vhdx'), join(folder, 'made.vhdx')];
  const bytes = new Seeded(5).bytes(2 * MiB);
  writeTestVhdx(source, { size: 8 * MiB, sectorBytes: 4096, blocks: new Map([[1, { state: 6, bytes }]]) });
  await convert(source, target, 'vhdx').run();
  const disk = await openDisk(target);
  expect(disk).toMatchObject({ size: 8 * MiB, links: [{ sectorBytes: 4096 }] });
  expect(bytes.equals(await disk.read({ offset: 2 * MiB, length: 2 * MiB }))).toBe(true);
  await disk.close();
});
