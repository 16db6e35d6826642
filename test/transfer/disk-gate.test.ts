/** The safety gate: damaged images are refused before they are copied, and spoiled ones before they get a name. */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import type { TransferEvent } from '../../src/core/events.js';
import { KiB, MiB } from '../../src/core/units.js';
import { lookAtSource, lookAtTarget } from '../../src/disk/gate.js';
import { partPath } from '../../src/endpoint/part-names.js';
import { copy } from '../../src/index.js';
import type { ChunkRunner } from '../../src/transfer/chunk-runner.js';
import { expectClear, failureOf, patch } from '../support/copying.js';
import { leftovers } from '../support/crash-run.js';
import { needQemuImg } from '../support/disk-tools.js';
import { contentOf, newDisk, qemuImg, qemuIo } from '../support/disks.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { memorySource } from '../support/reading.js';
import { Seeded } from '../support/seeded.js';

const scratch = mkdtempSync(join(tmpdir(), 'disk-gate-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let folder: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'copy-'));
  target = join(folder, 'copy.img');
});

const goesOn = (): boolean => false;
const HEADER_AT = 512;
const TABLE_AT = 1536;

/** A dynamic VHD of 9 MiB as QEMU makes it: footer copy, header, table, blocks, footer. */
function vhd(): string {
  const path = join(folder, 'disk.vhd');
  qemuImg('create', '-q', '-f', 'vpc', '-o', 'subformat=dynamic,force_size=on', path, '9M');
  qemuIo(path, 'vpc', 'write -P 7 1M 2M', 'write -P 8 6M 64k');
  return path;
}

interface Copied {
  readonly notes: readonly string[];
}

async function copied(options: Parameters<typeof copy>[0]): Promise<Copied> {
  const run = copy({ workers: 1, ...options });
  const notes: string[] = [];
  for await (const event of run as AsyncIterable<TransferEvent>) if (event.type === 'note') notes.push(event.message);
  await run.result;
  return { notes };
}

test('a sound image is copied without a word', async (context) => {
  needQemuImg(context);
  const source = vhd();
  expect(await copied({ source, target })).toEqual({ notes: [] });
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
});

test('a damaged image is refused before anything is written, and is copied without a check', async (context) => {
  needQemuImg(context);
  const source = vhd();
  patch(source, HEADER_AT + 100, Buffer.from('damage'));
  const error = await failureOf(() => copied({ source, target }));
  expectClear(error, { code: 'E_DISK_FORMAT', exitCode: 4, names: `${source} is damaged`, says: /--no-check/ });
  expect(error.message).toMatch(/checksum/);
  expect(existsSync(target)).toBe(false);
  expect(leftovers(target)).toEqual([]);
  await copied({ source, target, check: false });
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
});

test('no more sentences than somebody reads are told of a table that is all wrong', async (context) => {
  needQemuImg(context);
  const source = vhd();
  patch(source, TABLE_AT, Buffer.alloc(20, 0x7f));
  const error = await failureOf(() => copied({ source, target }));
  expect(error.code).toBe('E_DISK_FORMAT');
  expect(error.message.split('; ').length).toBeLessThanOrEqual(21);
});

test('what is only doubtful is a note, and the copy goes on', async (context) => {
  needQemuImg(context);
  const source = vhd();
  // The copy of the footer: the footer itself is right.
  patch(source, 20, Buffer.from('damage'));
  const { notes } = await copied({ source, target });
  expect(notes).toEqual([expect.stringContaining('vhd-footer')]);
  expect(existsSync(target)).toBe(true);
});

test('an image that is open for writing elsewhere is told', async (context) => {
  needQemuImg(context);
  context.skip(process.platform !== 'linux' || process.env.BLOCKFERRY_NO_NATIVE === '1', 'needs leases of Linux');
  const source = vhd();
  const fd = openSync(source, 'r+');
  try {
    const { notes } = await copied({ source, target });
    expect(notes).toEqual([`${source} is open for writing elsewhere: it may change meanwhile`]);
  } finally {
    closeSync(fd);
  }
  expect(await copied({ source, target, overwrite: true })).toEqual({ notes: [] });
});

test.for(['as it is', 'made anew'])(
  'what the storage spoils is found before it gets its name: %s',
  async (how, context) => {
    needQemuImg(context);
    const source = vhd();
    /** Something else writes into the partial file, behind the back of every digest. */
    const spoiling = (runner: ChunkRunner): ChunkRunner => ({
      ...runner,
      workers: runner.workers,
      close: () => runner.close(),
      run: (name, request) => {
        if (name === 'gate-target') patch(partPath(target), HEADER_AT + 100, Buffer.from('damage'));
        return runner.run(name, request);
      },
    });
    const ends =
      how === 'as it is' ? { source, target } : { source: contentOf(source), target: newDisk(target, 'vhd-dynamic') };
    const error = await failureOf(inlineTransfer({ ...ends, check: true, chunkBytes: MiB, around: spoiling }).run());
    expectClear(error, { code: 'E_DISK_FORMAT', exitCode: 4, names: 'the new', says: /got no name/ });
    expect(existsSync(target)).toBe(false);
    expect(leftovers(target)).toHaveLength(2);
  },
);

test('a copy that only reads has nothing to look at afterwards', async (context) => {
  needQemuImg(context);
  const source = vhd();
  expect(await copied({ source, target: 'null:' })).toEqual({ notes: [] });
  expect(await copied({ source, target: 'null:', to: 'vhdx' })).toEqual({ notes: [] });
});

test('a check that is stopped ends at its next read', async (context) => {
  needQemuImg(context);
  const source = { ...memorySource(readFileSync(vhd())) };
  expect((await lookAtSource(source, goesOn))?.wrong).toEqual([]);
  let reads = 0;
  await expect(lookAtSource(source, () => ++reads > 2)).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(reads).toBe(3);
});

test('of what is no disk image only the beginning and the end are looked at', async () => {
  const asked: ByteRange[] = [];
  const source = memorySource(new Seeded(1).bytes(100 * KiB));
  const openChunk: typeof source.openChunk = (range, signal) => {
    asked.push(range);
    return source.openChunk(range, signal);
  };
  expect(await lookAtSource({ ...source, openChunk }, goesOn)).toBeUndefined();
  expect(asked).toEqual([
    { offset: 0, length: 512 },
    { offset: 100 * KiB - 512, length: 512 },
  ]);
  for (const size of [0, 1, 511, 512, 513]) {
    expect(await lookAtSource(memorySource(new Uint8Array(size)), goesOn)).toBeUndefined();
  }
});

test('a file that begins like an image and is none is refused, and can be copied all the same', async () => {
  const source = join(folder, 'liar');
  const fd = openSync(source, 'w');
  writeSync(fd, Buffer.concat([Buffer.from('vhdxfile'), Buffer.alloc(MiB, 1)]));
  closeSync(fd);
  expect((await failureOf(() => copied({ source, target }))).code).toBe('E_DISK_FORMAT');
  await copied({ source, target, check: false });
  const { ref, openChunk } = memorySource(readFileSync(source));
  const looked = await lookAtTarget({ ref, openChunkBack: openChunk } as never, MiB + 8, goesOn);
  expect(looked?.wrong.length).toBeGreaterThan(0);
});
