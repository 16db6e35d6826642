import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { decode, encode } from '../../src/journal/tree-record.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import type { TreeResult } from '../../src/tree/tree-copy.js';
import { inlineTree } from '../support/inline-tree.js';
import { cutAfter, diskAfter, fatesOf } from '../support/power-cut.js';
import { type Disk, RecordingFiles } from '../support/recording-files.js';
import { Seeded } from '../support/seeded.js';

const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? 20260202);
const SAMPLES = 5;
const scratch = mkdtempSync(join(tmpdir(), 'tree-power-cut-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

// The journal lies in the target itself here, so that one folder is the whole disk of the model.
process.env.BLOCKFERRY_STATE = scratch;
const target = join(scratch, 'trees');
const source = join(scratch, 'source');
const contents = new Map<string, Buffer>();
mkdirSync(source);
for (const [name, size] of Object.entries({ a: 3 * KiB, b: 10, c: 0, d: 70 * KiB, e: 5000 })) {
  contents.set(name, name === 'd' ? Buffer.alloc(size) : new Seeded(seed).bytes(size));
  contents.get('d')?.fill('data', 60 * KiB);
  writeFileSync(join(source, name), contents.get(name) as Buffer);
}
const old = Buffer.from('what stood there before');

interface Options {
  readonly sync?: boolean;
  readonly overwrite?: boolean;
}

function run(files: FileLayer, options: Options): Promise<TreeResult> {
  return inlineTree({ sources: [`${source}/`], target, files, ...options }).run();
}

/** Everything that a copy does to the disk, and what the engine knows its files by. */
async function record(options: Options): Promise<RecordingFiles> {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  if (options.overwrite) writeFileSync(join(target, 'b'), old);
  const recording = new RecordingFiles(target);
  expect(await run(recording.layer, options)).toMatchObject({ files: 5, failures: [] });
  for (const file of recording.inodes.keys()) recording.statOf(file);
  return recording;
}

/** The disk as a folder of the same name, where each file still has the inode number and the time of before. */
function reboot(disk: Disk, recording: RecordingFiles): FileLayer {
  rmSync(target, { recursive: true });
  mkdirSync(target);
  const known = new Map<bigint, { readonly ino: bigint; readonly mtimeNs?: bigint }>();
  for (const [name, file] of disk.names) {
    const bytes = disk.files.get(file) ?? Buffer.alloc(0);
    writeFileSync(join(target, name), name.endsWith('journal') ? inEarlierBoot(bytes) : bytes, { mode: 0o600 });
    known.set(realFiles.lstat(join(target, name))?.ino ?? 0n, recording.statOf(file));
  }
  const as = <S extends { ino: bigint } | undefined>(stat: S): S => stat && Object.assign(stat, known.get(stat.ino));
  const nothing = (): void => undefined;
  return {
    ...realFiles,
    fstat: (fd) => as(realFiles.fstat(fd)),
    lstat: (path) => as(realFiles.lstat(path)),
    // The power stays on from here; without these the test takes minutes.
    ...{ fsyncSync: nothing, fdatasyncSync: nothing, syncFolder: nothing, syncFileSystem: () => true },
  };
}

function inEarlierBoot(journal: Buffer): Buffer {
  const lines = journal.toString('latin1').split('\n');
  const older = lines.map((line) => {
    const found = decode(line);
    return found && 'boot' in found ? encode({ ...found, boot: 'earlier' }).trimEnd() : line;
  });
  return Buffer.from(older.join('\n'), 'latin1');
}

function stands(name: string): 'nothing' | 'old' | 'whole' | 'wrong bytes' {
  const there = readdirSync(target).includes(name);
  if (!there) return 'nothing';
  const bytes = readFileSync(join(target, name));
  if (bytes.equals(contents.get(name) as Buffer)) return 'whole';
  return bytes.equals(old) ? 'old' : 'wrong bytes';
}

interface Outcome {
  readonly before: ReadonlyMap<string, ReturnType<typeof stands>>;
  readonly result: TreeResult;
  readonly about: string;
}

/** Cuts the power after every entry, in every way that the model knows, and runs the same command again. */
async function* everyCut(recording: RecordingFiles, options: Options): AsyncGenerator<Outcome> {
  const seeded = new Seeded(seed);
  for (let count = 0; count <= recording.log.length; count++) {
    const cut = cutAfter(recording.log, count);
    for (const fates of fatesOf(cut.pending, SAMPLES, seeded)) {
      const files = reboot(diskAfter(recording, cut, fates), recording);
      const about = `seed ${seed}, cut after ${count} of ${recording.log.length}: ${JSON.stringify(fates)}`;
      const before = new Map([...contents.keys()].map((name) => [name, stands(name)]));
      yield { before, result: await run(files, options), about };
    }
  }
}

test.for([{}, { overwrite: true }])(
  'after a power cut no name has wrong bytes, and the rerun completes all (%o)',
  {
    timeout: 240_000,
  },
  async (options: Options) => {
    const recording = await record(options);
    expect(recording.log.filter(({ kind }) => kind === 'sync-folder').length).toBeGreaterThan(1);
    let cuts = 0;
    for await (const { before, result, about } of everyCut(recording, options)) {
      cuts++;
      for (const [name, found] of before) {
        const allowed = options.overwrite && name === 'b' ? ['old', 'whole'] : ['nothing', 'whole'];
        expect(allowed, `${name}, ${about}`).toContain(found);
      }
      expect(result, about).toMatchObject({ refused: 0, failed: 0 });
      for (const name of contents.keys()) expect(stands(name), `${name}, ${about}`).toBe('whole');
      expect(
        readdirSync(target).filter((name) => name.endsWith('-part')),
        about,
      ).toEqual([]);
    }
    expect(cuts).toBeGreaterThan(100);
  },
);

test('after a power cut nothing that was copied with --no-sync is taken as finished with wrong bytes', {
  timeout: 240_000,
}, async () => {
  const recording = await record({ sync: false });
  expect(recording.log.filter(({ kind }) => kind === 'sync' || kind === 'sync-folder')).toEqual([]);
  for await (const { before, result, about } of everyCut(recording, {})) {
    const refused = new Set(result.failures.map(({ path }) => path));
    for (const [name, found] of before) {
      // A file may be lost, or be left with wrong bytes: then it is named.
      if (found === 'wrong bytes') expect(refused, `${name}, ${about}`).toContain(name);
      if (found === 'nothing') expect(stands(name), `${name}, ${about}`).toBe('whole');
    }
  }
  chmodSync(target, 0o755);
});
