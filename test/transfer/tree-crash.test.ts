import { randomInt } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import type { CopyTreeOptions, TreeResult } from '../../src/index.js';
import { type Kill, runCrashChild } from '../support/crash-run.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { type Entry, expectSameTree, leftBelow, listing } from '../support/trees.js';

const kills = Number(process.env.BLOCKFERRY_CRASH_KILLS ?? 30);
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));
const KILLS_PER_COPY = 6;

const scratch = mkdtempSync(join(tmpdir(), 'tree-crash-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Case {
  readonly source: string;
  readonly target: string;
  readonly options: CopyTreeOptions;
  /** What stood in the target before. */
  readonly old: Readonly<Record<string, Entry>>;
}

function makeCase(number: number, seeded: Seeded): Case {
  const folder = mkdtempSync(join(scratch, `copy-${number}-`));
  const [source, target] = [join(folder, 'source'), join(folder, 'target')];
  process.env.BLOCKFERRY_STATE = join(folder, 'state');
  mkdirSync(source);
  const folders = ['', 'a', 'a/b', 'a/b/c', 'd', 'hollow', 'd/locked'];
  for (const name of folders) mkdirSync(join(source, name), { recursive: true });
  for (let file = 0; file < 40; file++) makeFile(join(source, seeded.pick(folders), `file-${file}`), seeded);
  for (let link = 0; link < 5; link++)
    symlinkSync(`../file-${link}`, join(source, seeded.pick(folders), `link-${link}`));
  for (let large = 0; large < 2; large++) {
    const path = join(source, seeded.pick(folders), `large-${large}`);
    writeMixedFile(path, seeded.int(9 * MiB, 14 * MiB), seeded, 3 * MiB);
  }
  const overwrite = seeded.chance(0.3);
  if (overwrite) writeOld(source, target, seeded);
  chmodSync(join(source, 'd/locked'), 0o555);
  const options = {
    sources: [`${source}/`],
    target,
    recursive: true,
    workers: seeded.int(1, 2),
    limitBytesPerSecond: seeded.chance(0.5) ? seeded.int(30, 100) * MiB : 0,
    overwrite,
    preserve: seeded.chance(0.3),
    sync: seeded.chance(0.7),
    readBack: seeded.chance(0.2),
  };
  return { source, target, options, old: overwrite ? listing(target, { modes: false }) : {} };
}

function makeFile(path: string, seeded: Seeded): void {
  if (seeded.chance(0.2)) writeMixedFile(path, seeded.int(64 * KiB, MiB), seeded, 100 * KiB);
  else writeFileSync(path, seeded.bytes(seeded.chance(0.2) ? 0 : seeded.int(1, 100 * KiB)));
  chmodSync(path, seeded.pick([0o644, 0o600, 0o755, 0o444]));
}

/** Some of the files stand in the target already, with other bytes. */
function writeOld(source: string, target: string, seeded: Seeded): void {
  for (const [path, { kind, mode }] of Object.entries(listing(source))) {
    if (kind === 'folder' || path.startsWith('d/locked') || !seeded.chance(0.3)) continue;
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), seeded.bytes(seeded.int(1, 1000)));
    // What is replaced hands on its permissions.
    chmodSync(join(target, path), kind === 'link' ? 0o644 : Number.parseInt(mode, 8));
  }
}

const CALLS = ['openSync', 'writeSync', 'fdatasyncSync', 'closeSync', 'syncFileSystem', 'lstat', 'fstat'] as const;
const NAME_CALLS = ['publishNew', 'renameSync', 'unlinkSync', 'symlinkSync', 'syncFolder'] as const;

function chooseKill(seeded: Seeded): Kill {
  const kind = seeded.random();
  if (kind < 0.35) return { at: 'delay', ms: seeded.int(100, 900) };
  if (kind < 0.45) return { at: 'state', state: seeded.pick(['transferring', 'acknowledged']) };
  if (kind < 0.55) return { at: 'progress', bytes: seeded.int(1, 20 * MiB) };
  const when = seeded.pick(['before', 'after'] as const);
  if (kind < 0.75) return { at: 'file-call', call: seeded.pick(NAME_CALLS), nth: seeded.int(1, 12), when };
  const call = seeded.pick(CALLS);
  const torn = call === 'writeSync' && seeded.chance(0.5);
  return { at: 'file-call', call, nth: seeded.int(1, 60), when: torn ? 'torn' : when };
}

/** The finished files, after proving that whatever has a name is what it was or what it is to be. */
function finishedFiles({ source, target, old }: Case, about: string): number {
  const whole = listing(source, { modes: false });
  let finished = 0;
  const found = leftoversAside(listing(target, { modes: false }));
  for (const [path, entry] of Object.entries(found)) {
    const isNew = entry.content === whole[path]?.content && entry.kind === whole[path]?.kind;
    if (!isNew) expect(entry, `${path}, ${about}`).toEqual(old[path]);
    else if (entry.kind === 'file') finished++;
  }
  for (const path of Object.keys(old)) expect(found, about).toHaveProperty([path]);
  return finished;
}

function leftoversAside(found: Readonly<Record<string, Entry>>): Record<string, Entry> {
  return Object.fromEntries(Object.entries(found).filter(([path]) => !path.includes('blockferry')));
}

/** Kills and takes up again, until the copy is complete; answers how often it was killed. */
async function copyUnderFire(copy: Case, killsWanted: number, seeded: Seeded): Promise<number> {
  const { source, target, options } = copy;
  const total = Object.values(listing(source)).filter(({ kind }) => kind === 'file').length;
  let [done, finished] = [0, 0];
  for (;;) {
    const kill: Kill = done < killsWanted ? chooseKill(seeded) : { at: 'never' };
    const run = await runCrashChild<TreeResult>(options, kill);
    const about = `seed ${seed}, ${JSON.stringify({ kill, options, run })}`;
    if (!run.killed) {
      expect(run.exitCode, about).toBe(0);
      expect(run.result, about).toMatchObject({ failures: [], refused: 0, failed: 0 });
      expectSameTree(source, target, about);
      expect(leftBelow(target), about).toEqual([]);
      // A large file that lacked nothing but its last step is one that is finished now.
      expect(run.result?.skipped, about).toBeGreaterThanOrEqual(finished - 1);
      expect((run.result?.skipped ?? 0) + (run.result?.files ?? 0), about).toBe(total + 5 - (run.result?.links ?? 0));
      return done;
    }
    done++;
    // A kill may come before the target was made.
    mkdirSync(target, { recursive: true });
    finished = finishedFiles(copy, about);
  }
}

test('a tree copy that is killed again and again leaves whole files only, and the next run completes it', {
  timeout: 60_000 + kills * 8000,
}, async () => {
  process.stdout.write(`tree crash test: ${kills} kills, BLOCKFERRY_CRASH_SEED=${seed}\n`);
  const seeded = new Seeded(seed);
  let done = 0;
  for (let number = 0; done < kills; number++) {
    const copy = makeCase(number, seeded);
    done += await copyUnderFire(copy, Math.min(KILLS_PER_COPY, kills - done), seeded);
    rmSync(join(copy.source, '..'), { recursive: true });
  }
  expect(done).toBeGreaterThanOrEqual(kills);
});
