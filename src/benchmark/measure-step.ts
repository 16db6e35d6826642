/** Runs one step on as many threads as it wants, each with its own part of the file, and adds up what they did. */

import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { SharedControl } from '../transfer/control-block.js';
import type { Measured, MeasureOutcome, MeasureTask } from '../transfer/measure/tasks.js';
import { percentiles } from './percentiles.js';
import type { Step } from './plan.js';
import type { MeasurementResult } from './report.js';

const NS_PER_MS = 1e6;
/** The grid on which the threads' parts begin; every block size divides it. */
const GRID_BYTES = 4 * 1024 * 1024;
/** A block to warm and one to be measured. */
const BLOCKS_MIN = 2;

/** Where a step reads or writes: a path, or a source that is attached to by its ref. */
export interface Ground {
  readonly path?: string;
  readonly ref?: EndpointRef;
  readonly bytes: number;
}

export interface StepParts {
  readonly runner: ChunkRunner;
  readonly control: SharedControl;
  readonly seconds: number;
  /** Bytes that a writing step may write. */
  readonly bytesMax: number;
}

/** @throws TransferError */
export async function measureStep(step: Step, ground: Ground, parts: StepParts): Promise<MeasurementResult> {
  const { threads, pattern } = step;
  const bytesMax = Math.floor(parts.bytesMax / threads);
  if (pattern.kind === 'write' && bytesMax < BLOCKS_MIN * pattern.blockBytes) {
    return refusal(step, 'too few bytes to write');
  }
  const gate = { arrived: new SharedArrayBuffer(4), threads };
  const tasks = Array.from({ length: threads }, (_, thread) => {
    return { ...taskOf(step, ground, thread, { ...parts, bytesMax }), gate };
  });
  const settled = await Promise.allSettled(tasks.map((task) => parts.runner.run('measure', task)));
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed) throw TransferError.from(failed.reason);
  const outcomes = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  return addUp(step, outcomes, parts.seconds);
}

function taskOf(step: Step, ground: Ground, thread: number, parts: StepParts): MeasureTask {
  const { pattern, threads } = step;
  const { control, seconds, bytesMax } = parts;
  const about = { control, seconds, ...(pattern.kind === 'write' && { bytesMax }) };
  if (pattern.kind === 'hash') return { ...about, pattern };
  if (pattern.kind === 'fetch') {
    const length = Math.floor(ground.bytes / threads);
    return { ...about, pattern, ref: ground.ref ?? { scheme: 'none' }, range: { offset: thread * length, length } };
  }
  // Small files are shared out on a finer grid, or nobody would get anything.
  const grid = ground.bytes >= threads * GRID_BYTES ? GRID_BYTES : pattern.blockBytes;
  const length = Math.floor(ground.bytes / threads / grid) * grid;
  return { ...about, pattern, path: ground.path ?? '', range: { offset: thread * length, length } };
}

function refusal({ end, pattern, threads }: Step, refused: string): MeasurementResult {
  return { end, pattern, threads, refused };
}

function addUp(step: Step, outcomes: readonly MeasureOutcome[], secondsWanted: number): MeasurementResult {
  const refused = outcomes.find((outcome) => 'refused' in outcome);
  if (refused) return refusal(step, refused.refused);
  const measured = outcomes as readonly Measured[];
  const bytes = measured.reduce((sum, one) => sum + one.bytes, 0);
  const startNs = Math.min(...measured.map((one) => Number(one.startNs)));
  const endNs = Math.max(...measured.map((one) => Number(one.endNs)));
  const seconds = (endNs - startNs) / 1e9;
  const operations = bytes / step.pattern.blockBytes;
  const cpus = Math.max(...measured.map((one) => (one.cpuMs * NS_PER_MS) / Number(one.endNs - one.startNs)));
  const latencyMs = percentiles(
    measured.map(({ latenciesNs }) => latenciesNs),
    NS_PER_MS,
  );
  const { end, pattern, threads } = step;
  return {
    ...{ end, pattern, threads, bytes, seconds, cpus },
    bytesPerSecond: bytes / seconds,
    operationsPerSecond: operations / seconds,
    ...(latencyMs && pattern.kind !== 'hash' && { latencyMs }),
    cutShort: pattern.kind === 'write' && seconds < secondsWanted / 2,
  };
}
