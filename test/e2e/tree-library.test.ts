import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { copyTree, type TransferEvent } from '../../src/index.js';
import { bytesOf, failureOf } from '../support/copying.js';
import {
  copyTreeNow,
  copyTreeTold,
  expectSameTree,
  leftBelow,
  SAMPLE,
  treeFolders,
  writeTree,
} from '../support/trees.js';

const built = new URL('../../dist/src/index.js', import.meta.url).href;

test('events tell of states, of counts that never fall, and of each large file', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { ...SAMPLE, 'large.img': bytesOf(20 * MiB, 'large') });
  const { events } = await copyTreeTold({ sources: [`${source}/`], target, limitBytesPerSecond: 20 * MiB });
  const states = events.flatMap((event) => (event.type === 'state' ? [event.state] : []));
  expect(states).toEqual(['connecting', 'transferring', 'acknowledged']);
  const progress = events.filter((event) => event.type === 'progress');
  expect(progress.length).toBeGreaterThan(1);
  for (const [at, event] of progress.entries()) {
    const before = progress[at - 1];
    expect(event.bytesDone).toBeGreaterThanOrEqual(before?.bytesDone ?? 0);
    expect(event.files?.done).toBeGreaterThanOrEqual(before?.files?.done ?? 0);
    expect(event.bytesDone).toBeLessThanOrEqual(event.bytesTotal);
  }
  const last = progress.at(-1);
  expect(last).toMatchObject({ phase: 'done', bytesDone: 20 * MiB + 27, bytesTotal: 20 * MiB + 27 });
  expect(last?.files).toEqual({ done: 6, total: 6, skipped: 0, failed: 0 });
  const again = await copyTreeTold({ sources: [`${source}/`], target });
  const told = again.events.findLast((event) => event.type === 'progress')?.files;
  expect(told).toEqual({ done: 6, total: 6, skipped: 6, failed: 0 });
  const large = events.filter((event) => event.type === 'file');
  expect(new Set(large.map(({ path, state }) => `${path} ${state}`))).toEqual(
    new Set(['large.img started', 'large.img done']),
  );
  expect(large.map(({ bytesDone }) => bytesDone ?? 0)).toEqual(
    large.map(({ bytesDone }) => bytesDone ?? 0).sort(byValue),
  );
  expect(large.at(-1)).toMatchObject({ state: 'done', bytesDone: 20 * MiB, size: 20 * MiB });
});

const byValue = (a: number, b: number): number => a - b;

test('the events of a rerun count what is skipped', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
  await copyTreeNow({ sources: [`${source}/`], target });
  const { events } = await copyTreeTold({ sources: [`${source}/`], target });
  const last = events.filter((event) => event.type === 'progress').at(-1);
  expect(last).toMatchObject({ bytesDone: 9 * MiB + 27, bytesTotal: 9 * MiB + 27, bytesReused: 9 * MiB + 27 });
  expect(last?.files).toMatchObject({ skipped: 6, failed: 0 });
});

test.for(['small', 'large'] as const)(
  'a suspended copy of %s files ends with E_STOPPED, keeps what is finished, and goes on from there',
  async (kind) => {
    const { source, target } = treeFolders();
    const files = Array.from({ length: kind === 'small' ? 600 : 3 }, (_, n) => {
      return [`sub-${n % 3}/file-${n}`, bytesOf(kind === 'small' ? 20 * KiB : 9 * MiB, `${n}`)] as const;
    });
    writeTree(source, Object.fromEntries(files));
    const options = { sources: [`${source}/`], target, recursive: true };
    const run = copyTree({ ...options, limitBytesPerSecond: 12 * MiB });
    const states: string[] = [];
    for await (const event of run) {
      if (event.type === 'state') states.push(event.state);
      if (event.type === 'progress' && event.bytesDone > 6 * MiB) await run.suspend();
    }
    expect(await failureOf(run.result)).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
    expect(states.at(-1)).toBe('suspended');
    const { result, events } = await copyTreeTold(options);
    const last = events.filter((event: TransferEvent) => event.type === 'progress').at(-1);
    expect(result).toMatchObject({ failures: [], failed: 0 });
    expect(last?.bytesReused).toBeGreaterThan(0);
    expectSameTree(source, target);
    expect(leftBelow(target)).toEqual([]);
  },
);

test('a signal that is aborted before the beginning stops a copy before it copies', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  const options = { sources: [`${source}/`], target, recursive: true, signal: AbortSignal.abort() };
  expect(await failureOf(copyTree(options).result)).toMatchObject({ code: 'E_STOPPED' });
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ failures: [] });
  expectSameTree(source, target);
});

test('a limit holds for a tree of small files, and for the large ones in it', async () => {
  for (const bytes of [20 * KiB, 10 * MiB]) {
    const { source, target } = treeFolders();
    const count = Math.floor((10 * MiB) / bytes);
    writeTree(source, Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n}`, bytesOf(bytes, `${n}`)])));
    const rate = 8 * MiB;
    const { elapsedMs } = await copyTreeNow({ sources: [`${source}/`], target, limitBytesPerSecond: rate });
    // A busy machine may only be slower.
    expect(elapsedMs).toBeGreaterThan(((count * bytes) / rate) * 1000 * 0.85);
  }
});

test('options that make no sense are refused before anything is looked at', async () => {
  const { source, target } = treeFolders();
  for (const wrong of [{ workers: 0 }, { limitBytesPerSecond: -1 }, { chunkBytes: 1.5 }, { sources: [''] }]) {
    const error = await failureOf(() => copyTreeNow({ sources: [source], target, ...wrong }));
    expect(error).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  }
});

/** Peak memory in bytes of a process of its own that looks through the source. */
function peakBytes(source: string, target: string): number {
  const program = `
    import { copyTree } from ${JSON.stringify(built)};
    const [source, target] = process.argv.slice(1);
    const result = await copyTree({ sources: [source], target, recursive: true, dryRun: true, workers: 2 }).result;
    console.log(JSON.stringify({ files: result.files, peak: process.resourceUsage().maxRSS * 1024 }));
  `;
  const args = ['--input-type=module', '-e', program, '--', source, target];
  return (JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as { peak: number }).peak;
}

test('memory does not grow with the number of files: four times as many take hardly more', async () => {
  const { source, target } = treeFolders();
  const fill = (from: number, to: number): void => {
    for (let folder = from; folder < to; folder++) {
      mkdirSync(join(source, `${folder}`));
      for (let file = 0; file < 1000; file++) closeSync(openSync(join(source, `${folder}`, `file-${file}`), 'w'));
    }
  };
  fill(0, 50);
  const few = peakBytes(source, target);
  fill(50, 200);
  const many = peakBytes(source, target);
  expect(many / few, `${few} and ${many} bytes`).toBeLessThan(1.5);
}, 120_000);
