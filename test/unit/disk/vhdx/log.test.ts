/** The log of a VHDX: replayed in memory on reading, as qemu-img does it in the file; refused where it cannot be. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { convertWithQemu, needQemuImg, runTool } from '../../../support/disk-tools.js';
import { contentOf, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { type TestBlock, writeTestVhdx } from '../../../support/vhdx-images.js';
import { type Change, LOG_GUID, type TestEntry, writeLog } from '../../../support/vhdx-log.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const SECTOR = 4 * KiB;
const SIZE = 8 * MiB;
/** Where the writer of test disks puts things. */
const BAT_AT = 3 * MiB;
const FIRST_BLOCK_AT = 4 * MiB;

async function read(name: string): Promise<Buffer> {
  const bytes = imageFile(at(name));
  try {
    const image = await vhdx.open(bytes);
    // The same from the ref, as another thread has it.
    const attached = vhdx.attach(structuredClone(image.ref), bytes);
    const content = await contentOf([{ image, bytes }]);
    expect((await contentOf([{ image: attached, bytes }])).equals(content)).toBe(true);
    return content;
  } finally {
    bytes.close();
  }
}

/** What qemu-img reads once it has replayed the log of a copy. */
function repairedByQemu(name: string): Buffer {
  copyFileSync(at(name), at('repaired.vhdx'));
  runTool('qemu-img', ['check', '-r', 'all', '-f', 'vhdx', at('repaired.vhdx')]);
  return convertWithQemu(at('repaired.vhdx'), at('repaired.raw'));
}

/** A disk of four blocks of which the first has data. */
function writeDisk(name: string, seeded: Seeded): { readonly content: Buffer; readonly fileBytes: number } {
  const bytes = seeded.bytes(2 * MiB);
  const blocks = new Map<number, TestBlock>([
    [0, { state: 6, bytes }],
    [1, { state: 6, bytes }],
  ]);
  writeTestVhdx(at(name), { size: SIZE, blocks });
  const content = Buffer.alloc(SIZE);
  content.set(bytes);
  content.set(bytes, 2 * MiB);
  return { content, fileBytes: statSync(at(name)).size };
}

/** The BAT's first sector with one more block, at the end of the file. */
function batWith(name: string, block: number, place: number): Change {
  const data = Buffer.from(readFileSync(at(name)).subarray(BAT_AT, BAT_AT + SECTOR));
  data.writeBigUInt64LE(BigInt(place) + 6n, block * 8);
  return { at: BAT_AT, data };
}

const entry = (given: Partial<TestEntry> & Pick<TestEntry, 'changes' | 'fileBytes'>): TestEntry => ({
  at: 0,
  tail: given.at ?? 0,
  sequenceNumber: 5n,
  ...given,
});

test('a table that was changed in the log alone is read as changed', async (context) => {
  const { content, fileBytes } = writeDisk('disk.vhdx', new Seeded(1));
  const added = new Seeded(2).bytes(2 * MiB);
  const image = Buffer.concat([readFileSync(at('disk.vhdx')), added]);
  writeFileSync(at('disk.vhdx'), image);
  writeLog(at('disk.vhdx'), [entry({ changes: [batWith('disk.vhdx', 3, fileBytes)], fileBytes: image.length })]);
  content.set(added, 6 * MiB);
  expect((await read('disk.vhdx')).equals(content)).toBe(true);
  needQemuImg(context);
  expect(repairedByQemu('disk.vhdx').equals(content)).toBe(true);
});

test('sectors that the log lays over the data of blocks are read from the log', async (context) => {
  const { content, fileBytes } = writeDisk('disk.vhdx', new Seeded(3));
  const seeded = new Seeded(4);
  const changes: Change[] = Array.from({ length: 150 }, () => ({
    at: FIRST_BLOCK_AT + seeded.int(0, 1023) * SECTOR,
    data: seeded.bytes(SECTOR),
  }));
  changes.splice(100, 0, { at: FIRST_BLOCK_AT + 100 * SECTOR, zeroBytes: 300 * SECTOR });
  const half = 75;
  writeLog(at('disk.vhdx'), [
    entry({ at: 0, sequenceNumber: 9n, changes: changes.slice(0, half), fileBytes }),
    entry({ at: (half + 1) * SECTOR, tail: 0, sequenceNumber: 10n, changes: changes.slice(half), fileBytes }),
  ]);
  for (const change of changes) {
    if ('data' in change) content.set(change.data, change.at - FIRST_BLOCK_AT);
    else content.fill(0, change.at - FIRST_BLOCK_AT, change.at - FIRST_BLOCK_AT + change.zeroBytes);
  }
  expect((await read('disk.vhdx')).equals(content)).toBe(true);
  needQemuImg(context);
  expect(repairedByQemu('disk.vhdx').equals(content)).toBe(true);
});

test('an entry that goes on at the beginning of the log is read around its end', async (context) => {
  const { content, fileBytes } = writeDisk('disk.vhdx', new Seeded(5));
  const data = new Seeded(6).bytes(SECTOR);
  const changes = [0, 1, 2].map((sector) => ({ at: FIRST_BLOCK_AT + sector * SECTOR, data }));
  writeLog(at('disk.vhdx'), [entry({ at: MiB - 2 * SECTOR, changes, fileBytes })]);
  for (const change of changes) content.set(data, change.at - FIRST_BLOCK_AT);
  expect((await read('disk.vhdx')).equals(content)).toBe(true);
  needQemuImg(context);
  expect(repairedByQemu('disk.vhdx').equals(content)).toBe(true);
});

test('the newest whole sequence counts, from its tail on, and nothing of another log', async () => {
  const { content, fileBytes } = writeDisk('disk.vhdx', new Seeded(7));
  const seeded = new Seeded(8);
  const change = (sector: number): Change => ({ at: FIRST_BLOCK_AT + sector * SECTOR, data: seeded.bytes(SECTOR) });
  const [flushed, kept, newest, older, foreign] = [change(0), change(1), change(2), change(3), change(4)];
  writeLog(at('disk.vhdx'), [
    entry({ at: 0, tail: 0, sequenceNumber: 20n, changes: [flushed], fileBytes }),
    entry({ at: 2 * SECTOR, tail: 0, sequenceNumber: 21n, changes: [kept], fileBytes }),
    entry({ at: 4 * SECTOR, tail: 2 * SECTOR, sequenceNumber: 22n, changes: [newest], fileBytes }),
    entry({ at: 20 * SECTOR, sequenceNumber: 7n, changes: [older], fileBytes }),
    entry({ at: 40 * SECTOR, sequenceNumber: 90n, changes: [foreign], fileBytes, guid: `8${LOG_GUID.slice(1)}` }),
  ]);
  for (const { at: place, data } of [kept, newest] as { at: number; data: Buffer }[]) {
    content.set(data, place - FIRST_BLOCK_AT);
  }
  expect((await read('disk.vhdx')).equals(content)).toBe(true);
});

// No comparison with qemu-img, which leaves a file short when LastFileOffset is a whole number of MiB.
test('a file that the log makes longer reads as zero where it ends', async () => {
  const { content, fileBytes } = writeDisk('disk.vhdx', new Seeded(9));
  const lastBytes = fileBytes + 2 * MiB;
  const data = new Seeded(10).bytes(SECTOR);
  const changes = [batWith('disk.vhdx', 3, fileBytes), { at: fileBytes + SECTOR, data }];
  writeLog(at('disk.vhdx'), [entry({ changes, fileBytes, lastBytes })]);
  content.set(data, 6 * MiB + SECTOR);
  expect((await read('disk.vhdx')).equals(content)).toBe(true);
});

test('a log that is in use and has no whole sequence is refused', async () => {
  const { fileBytes } = writeDisk('disk.vhdx', new Seeded(11));
  const changes = [{ at: FIRST_BLOCK_AT, data: Buffer.alloc(SECTOR, 1) }];
  writeLog(at('disk.vhdx'), []);
  await expect(read('disk.vhdx')).rejects.toThrow(/log at byte 1048576: expected a whole sequence of entries/);
  // The tail of the only entry stands before what is there.
  writeLog(at('disk.vhdx'), [entry({ at: 8 * SECTOR, tail: 0, changes, fileBytes })]);
  await expect(read('disk.vhdx')).rejects.toThrow(/whole sequence/);
});

test('a damaged entry is refused', async () => {
  const { fileBytes } = writeDisk('disk.vhdx', new Seeded(12));
  const changes = [0, 1, 2].map((sector) => ({ at: FIRST_BLOCK_AT + sector * SECTOR, data: Buffer.alloc(SECTOR, 1) }));
  writeLog(at('disk.vhdx'), [entry({ changes, fileBytes })]);
  const file = imageFile(at('disk.vhdx'));
  const seeded = new Seeded(16);
  for (let round = 0; round < 60; round++) {
    const flipped = MiB + (round < 30 ? seeded.int(0, 159) : seeded.int(0, 4 * SECTOR - 1));
    const before = file.readNow({ offset: flipped, length: 1 }, 'byte');
    file.write(flipped, Buffer.of((before[0] ?? 0) ^ (1 << seeded.int(0, 7))));
    await expect(vhdx.open(file)).rejects.toThrow(/whole sequence/);
    file.write(flipped, before);
  }
  expect((await vhdx.open(file)).size).toBe(SIZE);
  file.close();
});

test('a file that is shorter than its log says was cut short, and is refused', async () => {
  const { fileBytes } = writeDisk('disk.vhdx', new Seeded(13));
  const changes = [{ at: FIRST_BLOCK_AT, data: Buffer.alloc(SECTOR, 1) }];
  writeLog(at('disk.vhdx'), [entry({ changes, fileBytes })]);
  truncateSync(at('disk.vhdx'), fileBytes - MiB);
  await expect(read('disk.vhdx')).rejects.toThrow(/it was cut short/);
});

test('a log that would change the headers, or what lies past 2^53, is refused', async () => {
  const { fileBytes } = writeDisk('disk.vhdx', new Seeded(14));
  for (const change of [
    { at: 64 * KiB, data: Buffer.alloc(SECTOR) },
    { at: 2 ** 53 - SECTOR, zeroBytes: 2 * SECTOR },
  ]) {
    writeLog(at('disk.vhdx'), [entry({ changes: [change], fileBytes })]);
    await expect(read('disk.vhdx')).rejects.toMatchObject({ code: 'E_DISK_FORMAT', message: /log descriptor/ });
  }
});

test('a disk with something to replay is not written to', async () => {
  const { fileBytes } = writeDisk('disk.vhdx', new Seeded(15));
  writeLog(at('disk.vhdx'), [entry({ changes: [{ at: FIRST_BLOCK_AT, zeroBytes: SECTOR }], fileBytes })]);
  const before = readFileSync(at('disk.vhdx'));
  const file = imageFile(at('disk.vhdx'));
  await expect(vhdx.openWriter?.(file)).rejects.toThrow(/changes to replay/);
  file.close();
  expect(readFileSync(at('disk.vhdx')).equals(before)).toBe(true);
});

test('what a killed qemu-io leaves reads as qemu reads it, or is refused', async (context) => {
  needQemuImg(context);
  let replayed = 0;
  for (let round = 0; round < 5; round++) {
    const path = at(`killed-${round}.vhdx`);
    runTool('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', path, '250M']);
    const writer = spawn('qemu-io', ['-f', 'vhdx', path], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(writer, 'exit');
    // The pipe breaks when the writer is killed.
    writer.stdin.on('error', () => undefined);
    let said = 0;
    writer.stdout.on('data', (text: Buffer) => {
      said += text.toString('latin1').split('wrote').length - 1;
      if (said > round * 40) writer.kill('SIGKILL');
    });
    for (let line = 0; line < 250; line++) writer.stdin.write(`write -P ${line + 1} ${line}M 64k\n`);
    writer.stdin.end();
    await ended;
    const reading = await read(`killed-${round}.vhdx`).catch((thrown: Error) => thrown);
    if (reading instanceof Error) expect(reading.message).toMatch(/whole sequence/);
    else {
      replayed++;
      expect(reading.equals(repairedByQemu(`killed-${round}.vhdx`))).toBe(true);
    }
    rmSync(path);
  }
  expect(replayed).toBeGreaterThan(0);
});
