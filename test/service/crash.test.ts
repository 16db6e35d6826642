/** A service that is killed again and again while twenty jobs run: all of them end as if nothing had happened. */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { JobSpec, JobView } from '../../src/service/job-service.js';
import { CHUNK, expectDone, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { Seeded } from '../support/seeded.js';

const CHILD = fileURLToPath(new URL('../support/service-child.mjs', import.meta.url));
const kills = Number(process.env.BLOCKFERRY_CRASH_KILLS ?? 12);
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));
const JOBS = 20;
const RUN_SECONDS_MAX = 1.5;

function jobsOf(seeded: Seeded): { readonly pairs: readonly Pair[]; readonly specs: readonly JobSpec[] } {
  const pairs: Pair[] = [];
  const specs: JobSpec[] = [];
  for (let number = 0; number < JOBS; number++) {
    const sizes = Array.from({ length: seeded.int(1, 3) }, () => seeded.int(MiB, 3 * MiB));
    const files = sizes.map((size, file) => pairIn(scratchFolder(), size, `${number} ${file}`));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    pairs.push(...files);
    specs.push({
      name: `job ${number}`,
      files: files.map(({ source, target }) => ({ source, target })),
      priority: seeded.pick(['foreground', 'high', 'normal', 'low'] as const),
      // So slow that it is still under way when the last kill comes.
      limitBytesPerSecond: Math.ceil(bytes / (kills * RUN_SECONDS_MAX)),
      options: { chunkBytes: CHUNK, reflink: 'never' },
      autoComplete: true,
    });
  }
  return { pairs, specs };
}

/** Resolves with what it said at its end, or undefined when it was killed after so long. */
async function holdService(request: object, killAfterMs?: number): Promise<readonly JobView[] | undefined> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(request)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [said, wrong] = ['', ''];
  child.stdout.on('data', (bytes) => {
    said += bytes;
  });
  child.stderr.on('data', (bytes) => {
    wrong += bytes;
  });
  const ended = once(child, 'close');
  if (killAfterMs !== undefined) {
    await Promise.race([ended, systemClock.sleep(killAfterMs)]);
    child.kill('SIGKILL');
  }
  const [code, signal] = await ended;
  if (signal === 'SIGKILL') return undefined;
  expect(code, wrong).toBe(0);
  return JSON.parse(said.trim().split('\n').at(-1) ?? '');
}

test(`jobs survive a service that is killed at any moment, and go on by themselves (seed ${seed})`, {
  timeout: 600_000,
}, async () => {
  const seeded = new Seeded(seed);
  const { pairs, specs } = jobsOf(seeded);
  const request = { state: join(scratchFolder(), 'state'), specs };
  for (let kill = 0; kill < kills; kill++) {
    expect(await holdService({ ...request, hurry: false }, seeded.int(50, RUN_SECONDS_MAX * 1000))).toBeUndefined();
  }
  const jobs = await holdService({ ...request, hurry: true });
  expect(jobs?.map(({ name, state }) => [name, state]).sort()).toEqual(
    specs.map(({ name }) => [name, 'acknowledged']).sort(),
  );
  for (const pair of pairs) expectDone(pair);
});
