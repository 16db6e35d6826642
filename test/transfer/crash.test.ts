import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { LAYOUT_KINDS } from '../../src/disk/layouts.js';
import { type CopyOptions, openDisk } from '../../src/index.js';
import { type Kill, leftovers, runCrashChild, statusOf, whatStands } from '../support/crash-run.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const kills = Number(process.env.BLOCKFERRY_CRASH_KILLS ?? 50);
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));
const KILLS_PER_COPY = 7;
/** What may be finished and yet not on record: one checkpoint being flushed, one being filled. */
const UNRECORDED_BYTES_MAX = 512 * MiB;

const scratch = mkdtempSync(join(tmpdir(), 'crash-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Case {
  readonly source: string;
  readonly options: CopyOptions;
  readonly old?: Buffer;
  /** What the target has to hold: of a copy that makes a disk, as its guest sees it. */
  readonly image: Buffer;
}

/** What stands under the target's name. */
async function standsAt({ options, image, old }: Case): Promise<ReturnType<typeof whatStands>> {
  const stands = whatStands(options.target, { new: image, ...(old && { old }) });
  if (options.to === undefined || stands !== 'wrong bytes') return stands;
  const disk = await openDisk(options.target);
  try {
    // A format that counts in sectors rounds the size up.
    for (let offset = 0; offset < image.length; offset += 8 * MiB) {
      const length = Math.min(8 * MiB, image.length - offset);
      const same = image.subarray(offset, offset + length).equals(await disk.read({ offset, length }));
      if (!same) return 'wrong bytes';
    }
    return disk.size - image.length < 512 ? 'new' : 'wrong bytes';
  } finally {
    await disk.close();
  }
}

function makeCase(number: number, seeded: Seeded): Case {
  const folder = mkdtempSync(join(scratch, `copy-${number}-`));
  const [source, target] = [join(folder, 'disk.img'), join(folder, 'copy.img')];
  writeMixedFile(source, seeded.int(40 * MiB, 64 * MiB), seeded);
  const overwrite = seeded.chance(0.4);
  const old = overwrite ? seeded.bytes(seeded.int(0, 3 * MiB)) : undefined;
  if (old) writeFileSync(target, old);
  const options = {
    source,
    target,
    chunkBytes: seeded.pick([64 * KiB, 256 * KiB, MiB]),
    workers: seeded.int(1, 2),
    limitBytesPerSecond: seeded.chance(0.6) ? seeded.int(60, 300) * MiB : 0,
    overwrite,
    sync: seeded.chance(0.7),
    readBack: seeded.chance(0.3),
    preserve: seeded.chance(0.3),
    ...(seeded.chance(0.2) && { checksum: { algorithm: 'sha256' as const } }),
    ...(seeded.chance(0.35) && { to: seeded.pick(LAYOUT_KINDS) }),
  };
  return { source, options, image: readFileSync(source), ...(old && { old }) };
}

/** The calls of a copy's beginning and end happen once or a few times; writes happen for each block. */
const FEW_CALLS = ['openSync', 'ftruncateSync', 'fdatasyncSync', 'closeSync', 'fstat', 'lstat'] as const;
const END_CALLS = [
  ...(['fchmodSync', 'fsyncSync', 'publishNew', 'renameSync', 'unlinkSync', 'syncFolder'] as const),
  ...(['setTimes', 'applyAttributes'] as const),
] as const;

function chooseKill(seeded: Seeded, copy: Case): Kill {
  const kind = seeded.random();
  if (kind < 0.3) return { at: 'delay', ms: seeded.int(20, 600) };
  if (kind < 0.4) return { at: 'state', state: seeded.pick(['connecting', 'transferring', 'acknowledged']) };
  if (kind < 0.45) return { at: 'checkpoint', nth: 1 };
  if (kind < 0.5) return { at: 'progress', bytes: seeded.int(1, copy.image.length) };
  const when = seeded.pick(['before', 'after'] as const);
  if (copy.options.to !== undefined && seeded.chance(0.3)) {
    // The tables of a new disk are written at the end, each step flushed before the next.
    return { at: 'file-call', call: 'fdatasyncSync', nth: seeded.int(1, 8), when };
  }
  if (kind < 0.6) return { at: 'file-call', call: seeded.pick(FEW_CALLS), nth: seeded.int(1, 4), when };
  if (kind < 0.85) return { at: 'file-call', call: seeded.pick(END_CALLS), nth: seeded.int(1, 3), when };
  const nth = seeded.int(1, copy.image.length / (256 * KiB));
  return { at: 'file-call', call: 'writeSync', nth, when: seeded.pick(['before', 'after', 'torn']) };
}

/** Kills and takes up again, until the copy is complete; answers how often it was killed. */
async function copyUnderFire(copy: Case, killsWanted: number, seeded: Seeded): Promise<number> {
  const { target } = copy.options;
  let done = 0;
  for (;;) {
    const before = await statusOf(target);
    const kill: Kill = done < killsWanted ? chooseKill(seeded, copy) : { at: 'never' };
    const run = await runCrashChild(copy.options, kill);
    const about = `seed ${seed}, ${JSON.stringify({ kill, options: copy.options, run })}`;
    const stands = await standsAt(copy);
    if (run.killed) {
      done++;
      expect(['nothing', 'old', 'new'], about).toContain(stands);
      if (copy.old) expect(stands, about).not.toBe('nothing');
      // Killed when all was done: there is nothing left to take up.
      if (stands === 'new' && leftovers(target).length === 0) return done;
      continue;
    }
    expect(run.exitCode, about).toBe(0);
    expect(stands, about).toBe('new');
    expect(leftovers(target), about).toEqual([]);
    const claimed = before.partial?.bytesClaimed ?? 0;
    expect(run.result?.bytesReused, about).toBeGreaterThanOrEqual(claimed);
    expect(run.result?.bytesCopied, about).toBeLessThanOrEqual(copy.image.length - claimed);
    return done;
  }
}

test('a copy that is killed again and again shows nothing or the whole image, and is completed by the next run', {
  timeout: 60_000 + kills * 5000,
}, async () => {
  process.stdout.write(`crash test: ${kills} kills, BLOCKFERRY_CRASH_SEED=${seed}\n`);
  const seeded = new Seeded(seed);
  let done = 0;
  for (let number = 0; done < kills; number++) {
    const copy = makeCase(number, seeded);
    done += await copyUnderFire(copy, Math.min(KILLS_PER_COPY, kills - done), seeded);
    rmSync(join(copy.source, '..'), { recursive: true });
  }
  expect(done).toBeGreaterThanOrEqual(kills);
});

test('after a kill at full speed the next run sends at most two checkpoints and the lanes again', async () => {
  const folder = mkdtempSync(join(scratch, 'large-'));
  const [source, target] = [join(folder, 'disk.img'), join(folder, 'copy.img')];
  const [size, chunkBytes, lanes] = [1024 * MiB, 4 * MiB, 3];
  const fd = openSync(source, 'w');
  const piece = new Seeded(seed).bytes(64 * MiB);
  for (let at = 0; at < size; at += piece.length) {
    piece.writeDoubleLE(at + 1, 0);
    writeSync(fd, piece, 0, piece.length, at);
  }
  closeSync(fd);
  const options: CopyOptions = { source, target, chunkBytes, lanes, workers: 2 };
  const killed = await runCrashChild(options, { at: 'checkpoint', nth: 2 });
  expect(killed.killed).toBe(true);
  expect(leftovers(target)).toHaveLength(2);
  const claimed = (await statusOf(target)).partial?.bytesClaimed ?? 0;
  // The kill came with the news of the second checkpoint, so two are on record.
  expect(claimed).toBeGreaterThan(0);
  expect(killed.bytesDone - claimed).toBeLessThanOrEqual(UNRECORDED_BYTES_MAX + lanes * chunkBytes);
  const resumed = await runCrashChild(options, { at: 'never' });
  expect(resumed.exitCode, resumed.errorOutput).toBe(0);
  expect(resumed.result?.bytesReused).toBe(claimed);
  expect(resumed.result?.bytesCopied).toBe(size - claimed);
  const sent = killed.bytesDone + (resumed.result?.bytesCopied ?? 0);
  expect(sent).toBeLessThanOrEqual(size + UNRECORDED_BYTES_MAX + lanes * chunkBytes);
  expect(spawnSync('cmp', [source, target]).status).toBe(0);
  expect(leftovers(target)).toEqual([]);
});
