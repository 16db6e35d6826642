import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../../src/core/clock.js';
import { SqliteStore } from '../../../../src/service/store/sqlite-store.js';
import { until } from '../../../support/asked-clock.js';
import { Seeded } from '../../../support/seeded.js';
import { jobWith } from '../../../support/stored-jobs.js';

const CHILD = fileURLToPath(new URL('../../../support/store-child.mjs', import.meta.url));
const SEED = 20_261_126;
const KILLS = 20;

interface About {
  readonly jobs: readonly { readonly id: string; readonly version?: number; readonly removed?: true }[];
  readonly told: readonly number[];
}
type Line = { readonly begin?: About; readonly done?: About };

/** What may be in the store: at least what was done, at most what was begun. */
interface Known {
  readonly done: Map<string, number | 'removed'>;
  readonly begun: Map<string, number | 'removed'>;
  readonly told: Set<number>;
}

/** Runs the child, and kills it while it starts, or some time after it has begun to change jobs. */
async function killedRun(folder: string, seeded: Seeded, known: Known): Promise<void> {
  const random = Array.from({ length: 997 }, seeded.random);
  const argument = JSON.stringify({ folder, template: jobWith(), random });
  const said = join(folder, 'said');
  const output = openSync(said, 'w');
  const child = spawn(process.execPath, [CHILD, argument], { stdio: ['ignore', output, 'inherit'] });
  const ended = once(child, 'exit');
  closeSync(output);
  if (seeded.chance(1 / 5)) await systemClock.sleep(seeded.int(20, 200));
  else {
    await until(() => statSync(said).size > 0 || child.exitCode !== null);
    await systemClock.sleep(seeded.int(0, 250));
  }
  child.kill('SIGKILL');
  await ended;
  expect(child.signalCode).toBe('SIGKILL');
  const lines = readFileSync(said, 'utf8').split('\n').slice(0, -1);
  for (const { begin, done } of lines.map((line): Line => JSON.parse(line))) {
    for (const { id, version, removed } of begin?.jobs ?? []) known.begun.set(id, removed ? 'removed' : (version ?? 0));
    for (const { id, version, removed } of done?.jobs ?? []) known.done.set(id, removed ? 'removed' : (version ?? 0));
    for (const id of done?.told ?? []) known.told.add(id);
  }
}

test(`a process that is killed at any moment loses nothing that was put (seed ${SEED})`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'store-crash-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const seeded = new Seeded(SEED);
  const known: Known = { done: new Map(), begun: new Map(), told: new Set() };
  for (let run = 0; run < KILLS; run++) {
    await killedRun(folder, seeded, known);
    const store = new SqliteStore({ folder, clock: systemClock });
    const { jobs, told, notes } = await store.load();
    await store.close();
    expect(notes).toEqual([]);
    const found = new Map(jobs.map((job) => [job.id, job]));
    for (const [id, least] of known.done) {
      const [most, job] = [known.begun.get(id), found.get(id)];
      if (!job) expect(most, `${id} is gone`).toBe('removed');
      else if (least === 'removed') throw new Error(`${id} was removed, and is there`);
      else expect(job.retries, `${id} was put`).toBeGreaterThanOrEqual(least);
    }
    for (const job of jobs) {
      expect(known.begun.has(job.id)).toBe(true);
      expect(job.files.map(({ size }) => size)).toEqual(job.files.map(() => job.retries));
    }
    const ids = new Set(told.map(({ id }) => id));
    const kept = Math.max(0, ...ids) - 10_000;
    expect([...known.told].filter((id) => id > kept && !ids.has(id))).toEqual([]);
    // What was begun and not done is known now.
    for (const [id, most] of known.begun) {
      const job = found.get(id);
      if (job) known.done.set(id, job.retries);
      else if (most === 'removed') known.done.set(id, 'removed');
      else known.begun.delete(id);
    }
  }
  expect(known.told.size).toBeGreaterThan(0);
});
