/**
 * Copies with the engine itself, once for each of several settings: flushed and committed as always, from a source that
 * is not in the page cache, and compared with it byte by byte before the number counts.
 */

import { type Clock, nowMs } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { KiB } from '../core/units.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { Scratch } from '../transfer/measure/tasks.js';
import { Transfer, type TransferRequest } from '../transfer/transfer.js';
import { Verification } from '../transfer/verify.js';
import { noiseOf, smallestOfBest } from './advice.js';
import { firstBytesOf } from './first-bytes.js';
import { COPY_ROUNDS, type CopySettings, firstCopies, nextCopies, WARM_COPY_BYTES } from './plan.js';
import type { CopyMeasurement } from './report.js';

const WARM_CHUNK_BYTES = 128 * KiB;

export interface CopyParts {
  readonly createRunner: (workers: number) => Promise<ChunkRunner>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly source: Location;
  /** The scratch folder that is written, and what is copied into. */
  readonly scratch: Scratch;
  readonly target: Location;
  readonly bytes: number;
  readonly perWorker: number;
  /** Takes what is read out of the page cache. */
  readonly dropSource: () => Promise<void>;
  readonly next: (settings: CopySettings) => void;
  readonly signal: AbortSignal;
  readonly leftBehind: () => void;
}

/** @throws TransferError E_DIFFERENT when a copy is not its source, or whatever ends a copy */
export async function measureCopies(parts: CopyParts): Promise<CopyMeasurement[]> {
  const first = firstCopies(parts.perWorker);
  const runs: OneCopy[][] = first.map(() => []);
  for (let round = 0; round < COPY_ROUNDS; round++) {
    for (const [at, settings] of first.entries()) runs[at]?.push(await copyOnce(settings, parts));
  }
  const copies = first.map((settings, at) => bestOf(settings, runs[at] ?? [], parts.bytes));
  const best = smallestOfBest(copies, noiseOf(copies));
  for (const settings of best ? nextCopies(best) : []) {
    // With fewer chunks than workers it would be a copy by fewer workers.
    if (settings.workers * settings.chunkBytes > parts.bytes) continue;
    copies.push(bestOf(settings, [await copyOnce(settings, parts)], parts.bytes));
  }
  return copies;
}

interface OneCopy {
  readonly seconds: number;
  readonly cpus: number;
}

function bestOf(
  { workers, lanes, chunkBytes }: CopySettings,
  runs: readonly OneCopy[],
  bytes: number,
): CopyMeasurement {
  const best = runs.reduce((least, one) => (one.seconds < least.seconds ? one : least));
  const seconds = runs.map((one) => one.seconds);
  return { workers, lanes, chunkBytes, bytes, runs: seconds, ...best, bytesPerSecond: bytes / best.seconds };
}

async function copyOnce(settings: CopySettings, parts: CopyParts): Promise<OneCopy> {
  parts.next(settings);
  const runner = await parts.createRunner(settings.workers);
  try {
    const warm = { ...settings, lanes: settings.workers * 2, chunkBytes: WARM_CHUNK_BYTES };
    await transfer(warm, Math.min(WARM_COPY_BYTES, parts.bytes), runner, parts);
    await parts.dropSource();
    const [startMs, cpu] = [nowMs(parts.clock), process.cpuUsage()];
    await transfer(settings, parts.bytes, runner, parts);
    const seconds = (nowMs(parts.clock) - startMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    await assertSame(runner, parts);
    await runner.run('clear-scratch', { scratch: parts.scratch, what: 'copy' });
    return { seconds, cpus: (user + system) / 1e6 / seconds };
  } finally {
    if (!(await runner.close())) parts.leftBehind();
  }
}

async function transfer(settings: CopySettings, bytes: number, runner: ChunkRunner, parts: CopyParts): Promise<void> {
  const { lanes, chunkBytes } = settings;
  const request: TransferRequest = {
    ...{ lanes, chunkBytes, target: parts.target, source: firstBytesOf(parts.source, bytes) },
    ...{ algorithm: 'xxh64', rateBytesPerSecond: 0, overwrite: true, discard: true, sync: true, readBack: false },
  };
  await stoppable(new Transfer(request, { ...parts, runner }), parts.signal);
}

async function assertSame(runner: ChunkRunner, parts: CopyParts): Promise<void> {
  const request = { one: parts.target, other: firstBytesOf(parts.source, parts.bytes), algorithm: 'xxh64' } as const;
  const { same, bytesDiffering } = await stoppable(new Verification(request, { ...parts, runner }), parts.signal);
  if (same) return;
  const message = `a copy of ${parts.source.name} differs from it in ${bytesDiffering} bytes: its speed means nothing`;
  throw new TransferError('E_DIFFERENT', message, {
    hint: 'Check the storage and the memory of this machine before you trust them with a copy.',
  });
}

async function stoppable<T>(work: { run(): Promise<T>; suspend(): void }, signal: AbortSignal): Promise<T> {
  const suspend = (): void => work.suspend();
  signal.addEventListener('abort', suspend, { once: true });
  if (signal.aborted) suspend();
  try {
    return await work.run();
  } finally {
    signal.removeEventListener('abort', suspend);
  }
}
