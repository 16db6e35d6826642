/** Carries out the benchmark's entries in the table of work, on the thread that it is called on. */
import { randomFillSync } from 'node:crypto';
import type { Clock } from '../../core/clock.js';
import { loadHasher } from '../../core/digest.js';
import type { EndpointRef, Source } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { realFiles } from '../../platform/file-layer.js';
import type { ControlBlock, SharedControl } from '../control-block.js';
import { measureFetch } from './fetch-pattern.js';
import { fillScratch, measureFile } from './file-pattern.js';
import { clearScratch, lookAtPlace, openScratch } from './scratch.js';
import type { FetchTask, HashTask, Measured, MeasureOutcome, MeasureTask, MeasureWork } from './tasks.js';
import { type TimedParts, timed } from './timed.js';

/** What this thread holds of the benchmark's job. */
export interface MeasureJob {
  readonly control: ControlBlock;
  readonly signal: AbortSignal;
  readonly source: (ref: EndpointRef) => Promise<Source>;
}

type Deeds = { [N in keyof MeasureWork]: (request: MeasureWork[N]['in']) => Promise<MeasureWork[N]['out']> };

export function measureDeeds(clock: Clock, attach: (control: SharedControl) => MeasureJob): Deeds {
  return {
    'look-at-place': ({ path }) => lookAtPlace(realFiles, path),
    'open-scratch': ({ folder }) => openScratch(realFiles, folder),
    'fill-scratch': async (task) => fillScratch(realFiles, task, { clock, control: attach(task.control).control }),
    'clear-scratch': async ({ scratch, what }) => void clearScratch(realFiles, scratch, what),
    measure: async (task) => measure(task, attach(task.control), clock),
  };
}

async function measure(task: MeasureTask, job: MeasureJob, clock: Clock): Promise<MeasureOutcome> {
  if ('ref' in task) return measureFromSource(task, job, clock);
  const parts: TimedParts = { clock, control: job.control, gate: task.gate };
  return 'path' in task ? measureFile(realFiles, task, parts) : measureHash(task, parts);
}

async function measureFromSource(task: FetchTask, job: MeasureJob, clock: Clock): Promise<Measured> {
  try {
    return await measureFetch(task, await job.source(task.ref), { clock, signal: job.signal });
  } catch (thrown) {
    if (!job.signal.aborted) throw thrown;
    throw new TransferError('E_STOPPED', 'the benchmark was stopped', { cause: thrown });
  }
}

async function measureHash(task: HashTask, parts: TimedParts): Promise<Measured> {
  const newHasher = await loadHasher(task.pattern.algorithm);
  const block = randomFillSync(new Uint8Array(task.pattern.blockBytes));
  const hasher = newHasher();
  const once = (): number => {
    hasher.update(block);
    return block.length;
  };
  return timed({ once }, task, parts);
}
