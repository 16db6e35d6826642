/**
 * Merges overlays into what they lie on while the guest runs. At the end the guest stands still for a moment, in which
 * both images hold the same, durable: there the description changes. So whenever QEMU is killed, the images that are
 * written down for the machine are the ones that hold all that its guest wrote.
 */
import { type Clock, nowMs } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { MergeProgress } from '../hypervisor.js';
import type { VmDisk } from '../vm.js';
import { nodeName, removeNodes, topImages, topNode } from './nodes.js';
import { syncFile } from './overlays.js';
import { type Qmp, refused } from './qmp.js';

/** It begins beside whatever else the storage does, and comes to use all of it when that is not enough. */
const SPEED_BYTES_PER_SECOND = 64 * 1024 * 1024;
const FASTER_EVERY_MS = 5000;
const DOUBLINGS = 6;
/** A guest that writes faster than its storage merges is never done: then the overlay stays, and this is told. */
const MS_MAX_AT_LEAST = 15 * 60_000;
const BYTES_PER_SECOND_AT_LEAST = 4 * 1024 * 1024;
const LOOK_MS = 100;
const SYNCED_MS_MAX = 30_000;
const SYNCED_LOOK_MS = 5;

/** As `query-jobs` and `query-block-jobs` say it. */
interface JobNow {
  readonly status: string;
  readonly done: number;
  readonly total: number;
  readonly error?: string;
}

export interface OnlineMerge {
  /** As it is now; its images above `into` are merged. */
  readonly disk: VmDisk;
  /** A place in its chain. */
  readonly into: number;
  /** Nothing is in the overlays alone any more: writes down that the machine does without them. */
  readonly settle: () => void;
  readonly unsettle: () => void;
  /** Around the moment in which the guest stands still. */
  readonly pause: () => Promise<void>;
  readonly goOn: () => Promise<void>;
  readonly progress: (progress: MergeProgress) => void;
  readonly signal: AbortSignal;
}

/** Goes on with a merge that an earlier call began. @throws TransferError E_STOPPED, E_TIMEOUT, E_NO_SPACE */
export async function mergeOnline(qmp: Qmp, merge: OnlineMerge, clock: Clock): Promise<void> {
  const { disk, into } = merge;
  const job = `merge-${disk.id}`;
  if (!(await jobNow(qmp, job))) {
    await qmp.execute('block-commit', {
      'job-id': job,
      device: topNode(disk),
      'top-node': topNode(disk),
      'base-node': nodeName(disk.id, into),
      speed: SPEED_BYTES_PER_SECOND,
      // It stays until we have seen how it ended, however often we were away.
      'auto-dismiss': false,
    });
  }
  try {
    await untilReady(qmp, job, merge, clock);
    await qmp.execute('block-job-set-speed', { device: job, speed: 0 });
  } catch (thrown) {
    await giveUp(qmp, job);
    throw thrown;
  }
  await merge.pause();
  try {
    await untilSame(qmp, job, clock);
    await syncFile(pathOf(disk, into));
    merge.settle();
    await complete(qmp, job);
  } catch (thrown) {
    // Where QEMU cannot be asked any more the guest stands still until the next call: both images hold the same.
    await giveUp(qmp, job);
    if ((await topImages(qmp)).get(disk.id)?.path !== pathOf(disk, into)) merge.unsettle();
    await merge.goOn();
    throw thrown;
  }
  await merge.goOn();
  await removeMerged(qmp, disk, into);
}

/** What an earlier call had merged but for tidying up. */
export async function finishMerged(qmp: Qmp, disk: VmDisk, into: number): Promise<void> {
  await giveUp(qmp, `merge-${disk.id}`);
  await removeMerged(qmp, disk, into);
}

const pathOf = ({ chain }: VmDisk, at: number): string => chain[at]?.path ?? '';

/** The nodes above `into`, the top first: each is used by the one above it. */
async function removeMerged(qmp: Qmp, { id, chain }: VmDisk, into: number): Promise<void> {
  const above = chain.map((_, at) => at).filter((at) => at > into);
  const names = above.reverse().flatMap((at) => [nodeName(id, at), `${nodeName(id, at)}-file`]);
  await removeNodes(qmp, names);
}

async function untilReady(qmp: Qmp, job: string, { disk, progress, signal }: OnlineMerge, clock: Clock): Promise<void> {
  const startMs = nowMs(clock);
  let doublings = 0;
  for (;;) {
    if (signal.aborted) throw stopped(disk.id);
    const now = await jobNow(qmp, job);
    if (!now || now.status === 'concluded' || now.status === 'aborting') throw failed(disk.id, now?.error);
    progress({ disk: disk.id, bytesDone: now.done, bytesTotal: now.total });
    if (now.status === 'ready') return;
    const passedMs = nowMs(clock) - startMs;
    if (passedMs > MS_MAX_AT_LEAST + (now.total / BYTES_PER_SECOND_AT_LEAST) * 1000) throw tooSlow(disk.id, passedMs);
    if (doublings < DOUBLINGS && passedMs > (doublings + 1) * FASTER_EVERY_MS) {
      doublings++;
      const speed = doublings === DOUBLINGS ? 0 : SPEED_BYTES_PER_SECOND * 2 ** doublings;
      await qmp.execute('block-job-set-speed', { device: job, speed });
    }
    await qmp.eventOr(LOOK_MS);
  }
}

/** The guest stands still, so what is left is little, and nothing is added. */
async function untilSame(qmp: Qmp, job: string, clock: Clock): Promise<void> {
  const endMs = nowMs(clock) + SYNCED_MS_MAX;
  for (;;) {
    const now = await jobNow(qmp, job);
    if (now?.status !== 'ready') throw failed(job, now?.error);
    if (now.done === now.total) return;
    if (nowMs(clock) > endMs) throw tooSlow(job, SYNCED_MS_MAX);
    await qmp.eventOr(SYNCED_LOOK_MS);
  }
}

async function complete(qmp: Qmp, job: string): Promise<void> {
  await qmp.execute('block-job-complete', { device: job });
  for (let now = await jobNow(qmp, job); now; now = await jobNow(qmp, job)) {
    if (now.status !== 'concluded') await qmp.eventOr(LOOK_MS);
    else if (now.error !== undefined) throw failed(job, now.error);
    else return void (await qmp.execute('job-dismiss', { id: job }));
  }
}

/** A job that is not over is cancelled: the guest goes on in its overlay, and the next merge begins anew. */
async function giveUp(qmp: Qmp, job: string): Promise<void> {
  for (let now = await jobNow(qmp, job); now; now = await jobNow(qmp, job)) {
    if (now.status === 'concluded') return void (await qmp.execute('job-dismiss', { id: job }));
    if (now.status !== 'aborting') await qmp.execute('block-job-cancel', { device: job, force: true });
    await qmp.eventOr(LOOK_MS);
  }
}

async function jobNow(qmp: Qmp, id: string): Promise<JobNow | undefined> {
  type Job = {
    readonly id: string;
    readonly status: string;
    readonly 'current-progress': number;
    readonly 'total-progress': number;
    readonly error?: string;
  };
  const jobs = await qmp.execute<readonly Job[]>('query-jobs');
  const job = jobs.find((one) => one.id === id);
  if (!job) return undefined;
  const { status, error, 'current-progress': done, 'total-progress': total } = job;
  return { status, done, total, ...(error !== undefined && { error }) };
}

const stopped = (disk: string): TransferError =>
  new TransferError('E_STOPPED', `stopped; disk ${disk} keeps its overlay, and reads as before`, {
    hint: 'The same merge can be started again.',
  });

const failed = (disk: string, said = 'its job ended by itself'): TransferError => refused(`a merge (${disk})`, said);

function tooSlow(disk: string, ms: number): TransferError {
  const minutes = Math.round(ms / 60_000);
  return new TransferError('E_TIMEOUT', `disk ${disk} is not merged after ${minutes} min: its guest writes faster`, {
    hint: 'The guest goes on in its overlay. Merge again when it writes less, or while the machine is off.',
  });
}
