import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { KiB } from '../../src/core/units.js';
import type { FileLayer } from '../../src/platform/file-layer.js';
import { leftovers, statusOf, whatStands } from '../support/crash-run.js';
import { FakeClock } from '../support/fake-clock.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { cutAfter, diskAfter, fatesOf, reboot } from '../support/power-cut.js';
import { RecordingFiles } from '../support/recording-files.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? 20260101);
const SAMPLES = 6;
const scratch = mkdtempSync(join(tmpdir(), 'power-cut-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const source = join(scratch, 'disk.img');
writeMixedFile(source, 90 * KiB + 77, new Seeded(seed), 20 * KiB);
const image = readFileSync(source);
const otherSource = join(scratch, 'other.img');
writeFileSync(otherSource, new Seeded(seed + 1).bytes(image.length));

let folders = 0;
function newFolder(): string {
  const folder = join(scratch, `folder-${folders++}`);
  mkdirSync(folder);
  return folder;
}

type Options = Pick<InlineOptions, 'overwrite' | 'discard' | 'sync' | 'source' | 'preserve'>;

function run(folder: string, files: FileLayer, options: Partial<Options>) {
  // Time passes with every look, so that there is a checkpoint every few chunks.
  const clock = new FakeClock({ lookMs: 60 });
  const sizes = { chunkBytes: 8 * KiB, blockBytes: 4 * KiB, lanes: 2 };
  return inlineTransfer({ source, target: join(folder, 'copy.img'), files, clock, ...sizes, ...options });
}

/** Everything that a copy does to a folder, from its first call to its last. */
async function record(folder: string, options: Partial<Options>): Promise<RecordingFiles> {
  const recording = new RecordingFiles(folder);
  await run(folder, recording.layer, options).run();
  return recording;
}

/** The same for a copy whose process is killed before that entry of the log; the power stays on. */
async function recordKilled(folder: string, options: Partial<Options>, entries: number): Promise<RecordingFiles> {
  const recording = new RecordingFiles(folder);
  recording.dieAt = entries;
  await expect(run(folder, recording.layer, options).run()).rejects.toThrow();
  recording.revive();
  return recording;
}

interface Outcome {
  readonly before: ReturnType<typeof whatStands>;
  readonly after: ReturnType<typeof whatStands>;
  /** The code of a refusal. */
  readonly code: string | undefined;
  readonly left: readonly string[];
  /** What the journal claimed when the power came back, and how much of it was found to be true. */
  readonly claimedBytes: number;
  readonly reusedBytes: number;
  readonly about: string;
  /** The cut came after everything: the copy had told of its success. */
  readonly last: boolean;
  readonly folder: string;
  readonly files: FileLayer;
}

function claimedIn(target: string): Promise<number> {
  return statusOf(target)
    .then(({ partial }) => partial?.bytesClaimed ?? 0)
    .catch((thrown) => (thrown instanceof TransferError ? 0 : Promise.reject(thrown)));
}

/** Cuts the power after every call, in all or many ways, and copies again from what is then there. */
async function* everyCut(
  recording: RecordingFiles,
  options: Partial<Options>,
  old?: Buffer,
  from = 0,
): AsyncGenerator<Outcome> {
  const seeded = new Seeded(seed);
  const images = { new: image, ...(old && { old }) };
  for (let count = from; count <= recording.log.length; count++) {
    const cut = cutAfter(recording.log, count);
    for (const fates of fatesOf(cut.pending, SAMPLES, seeded)) {
      const { folder, files } = reboot(diskAfter(recording, cut, fates), recording, newFolder());
      const target = join(folder, 'copy.img');
      const before = whatStands(target, images);
      const claimedBytes = await claimedIn(target);
      const result = await run(folder, files, options)
        .run()
        .catch((thrown) => (thrown instanceof TransferError ? thrown : Promise.reject(thrown)));
      const code = result instanceof TransferError ? result.code : undefined;
      const reusedBytes = result instanceof TransferError ? 0 : result.bytesReused;
      const about = `seed ${seed}, cut after entry ${count} of the log, fates ${JSON.stringify(fates)}`;
      const last = count === recording.log.length;
      const after = whatStands(target, images);
      const left = leftovers(target);
      yield { before, after, code, left, claimedBytes, reusedBytes, about, last, folder, files };
      rmSync(folder, { recursive: true });
    }
  }
}

function expectCompleted({ after, code, left }: Outcome, about: string): void {
  expect({ code, after, left }, about).toEqual({ code: undefined, after: 'new', left: [] });
}

/** Durable first, recorded second: what the journal claims is true, whenever the power failed. */
function expectTrueClaims({ before, code, claimedBytes, reusedBytes, about }: Outcome): void {
  if (before !== 'new' && code === undefined) expect(reusedBytes, about).toBeGreaterThanOrEqual(claimedBytes);
}

/** Whatever the refusal, it has touched nothing under the name, and the way out that its hint names leads out. */
async function expectWayOut(outcome: Outcome): Promise<void> {
  const { folder, files, before, after, about } = outcome;
  expect(after, about).toBe(before);
  await run(folder, files, { discard: true }).run();
  expect(whatStands(join(folder, 'copy.img'), { new: image }), about).toBe('new');
  expect(leftovers(join(folder, 'copy.img')), about).toEqual([]);
}

test('a power cut during a new copy leaves nothing or the whole image, and the next run completes it', async () => {
  let cuts = 0;
  for await (const outcome of everyCut(await record(newFolder(), {}), {})) {
    cuts++;
    const { before, code, left, about } = outcome;
    expect(['nothing', 'new'], about).toContain(before);
    expectTrueClaims(outcome);
    if (outcome.last) expect(before, about).toBe('new');
    // Where nothing was left to do, a second copy is refused as any other would be.
    if (before === 'new' && code === 'E_TARGET_EXISTS') expect(left, about).toEqual([]);
    else expectCompleted(outcome, about);
  }
  expect(cuts).toBeGreaterThan(200);
});

test.for([{ overwrite: true }, { overwrite: true, preserve: true }])(
  'a power cut while a target is overwritten leaves the old image or the whole new one (%o)',
  async (options) => {
    const folder = newFolder();
    const old = Buffer.from('the old image');
    writeFileSync(join(folder, 'copy.img'), old);
    for await (const outcome of everyCut(await record(folder, options), options, old)) {
      expect(['old', 'new'], outcome.about).toContain(outcome.before);
      if (outcome.last) expect(outcome.before, outcome.about).toBe('new');
      expectCompleted(outcome, outcome.about);
    }
  },
);

test('a power cut after a kill and during the next run loses nothing that was on record', async () => {
  const whole = await record(newFolder(), {});
  for (const share of [0.1, 0.3, 0.6, 0.9]) {
    const killedAt = Math.floor(whole.log.length * share);
    const folder = newFolder();
    const recording = await recordKilled(folder, {}, killedAt);
    await run(folder, recording.layer, {}).run();
    for await (const outcome of everyCut(recording, {}, undefined, killedAt)) {
      expect(['nothing', 'new'], outcome.about).toContain(outcome.before);
      expectTrueClaims(outcome);
      if (outcome.last) expect(outcome.before, outcome.about).toBe('new');
      if (outcome.code !== 'E_TARGET_EXISTS') expectCompleted(outcome, outcome.about);
    }
  }
});

test('a power cut while a partial of another source is discarded never mixes the two', async () => {
  const other = { source: otherSource };
  const whole = await record(newFolder(), other);
  const folder = newFolder();
  const killed = await recordKilled(folder, other, Math.floor(whole.log.length * 0.8));
  expect(leftovers(join(folder, 'copy.img'))).toHaveLength(2);
  killed.syncAll();
  const begun = killed.log.length;
  await run(folder, killed.layer, { discard: true }).run();
  const refusals = new Set<string | undefined>();
  for await (const outcome of everyCut(killed, {}, undefined, begun)) {
    const { before, code, about } = outcome;
    expect(['nothing', 'new'], about).toContain(before);
    if (outcome.last) expect(before, about).toBe('new');
    if (before === 'new') continue;
    refusals.add(code);
    if (code === undefined) expectCompleted(outcome, about);
    else await expectWayOut(outcome);
  }
  expect(refusals).toContain('E_PART_OTHER_SOURCE');
  for (const code of refusals) expect(['E_PART_OTHER_SOURCE', 'E_PART_FOREIGN', undefined]).toContain(code);
});

test('an unfinished copy without flushes never becomes a wrong image after a power cut', async () => {
  const options = { sync: false };
  const recording = await record(newFolder(), options);
  expect(recording.log.filter(({ kind }) => kind === 'sync' || kind === 'sync-folder')).toEqual([]);
  for await (const outcome of everyCut(recording, {})) {
    const { before, code, about } = outcome;
    // A copy that was finished without a flush may be lost: that is what --no-sync says.
    if (before === 'wrong bytes' || before === 'new') continue;
    if (code === undefined) expectCompleted(outcome, about);
    else await expectWayOut(outcome);
  }
});

test('a run with flushes makes durable what killed runs without flushes had copied', async () => {
  const whole = await record(newFolder(), { sync: false });
  for (let killedAt = 3; killedAt < whole.log.length; killedAt += killedAt < whole.log.length - 5 ? 6 : 1) {
    const folder = newFolder();
    const recording = await recordKilled(folder, { sync: false }, killedAt);
    await run(folder, recording.layer, {}).run();
    for await (const outcome of everyCut(recording, {}, undefined, recording.log.length)) {
      expect(outcome.before, `killed before entry ${killedAt}; ${outcome.about}`).toBe('new');
    }
  }
});
