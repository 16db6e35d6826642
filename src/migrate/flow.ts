/** What the steps of one migration work with. */
import { type Clock, nowMs } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { Priority } from '../service/job.js';
import type { ImageJobs } from './image-jobs.js';
import type { MigrationBook } from './migration-book.js';
import type { FileDigest, MigrationEnd } from './migration-end.js';
import type { Rates } from './predict.js';
import type { FileFact, Took } from './step-records.js';

export interface Flow {
  readonly book: MigrationBook;
  readonly from: MigrationEnd;
  readonly to: MigrationEnd;
  readonly jobs: ImageJobs;
  readonly clock: Clock;
  /** As they are known by now. */
  rates(): Rates;
  readonly signal: AbortSignal;
  /** Bytes of the step, which the user may see. */
  progress(bytesDone: number, bytesTotal: number, waitsFor?: string): void;
  note(message: string): void;
}

export interface FileToCopy extends Pick<FileFact, 'disk' | 'kind' | 'source' | 'target'> {
  readonly bytes: number;
}

export interface CopyRules {
  readonly purpose: string;
  readonly priority: Priority;
  readonly overwrite: boolean;
  readonly urgent: boolean;
  /** A disk image that is damaged is not copied; overlays that are in use are no whole images. */
  readonly check?: boolean;
}

/** All at once, one job for each; answers them in the order in which they were given. The first failure ends it. */
export async function copyFiles(flow: Flow, files: readonly FileToCopy[], rules: CopyRules): Promise<FileFact[]> {
  const { from, jobs, signal } = flow;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const moved = files.map(() => 0);
  const copies = files.map(async ({ bytes: _, ...file }, at): Promise<FileFact> => {
    const ends = endsOf(flow, file);
    const purpose = purposeOf(file, rules.purpose);
    const onMoved = (bytesDone: number, waitsFor: string | undefined): void => {
      moved[at] = bytesDone;
      const all = moved.reduce((sum, one) => sum + one, 0);
      flow.progress(all, total, waitsFor);
    };
    const { bytes, root } = await jobs.copy({ ...rules, purpose, ...ends }, onMoved, signal);
    if (root !== undefined) return { ...file, bytes, root, chunkBytes: 0 };
    // It stands still there, so it can be read once more.
    return { ...file, ...(await from.files.digest(file.source, false, signal)) };
  });
  const settled = await Promise.allSettled(copies);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/** The target has its name by such a copy: otherwise what stands there is somebody else's. */
export function isPlaced(flow: Flow, file: Pick<FileFact, 'disk' | 'source' | 'target'>, purpose: string): boolean {
  return flow.jobs.hasPlaced({ purpose: purposeOf(file, purpose), ...endsOf(flow, file) });
}

function endsOf({ from, to }: Flow, { source, target }: Pick<FileFact, 'source' | 'target'>) {
  return { source: from.files.location(source), target: to.files.location(target) };
}

/** Two disks may have images of one name. */
function purposeOf({ disk }: Pick<FileFact, 'disk'>, purpose: string): string {
  return disk === undefined ? purpose : `${purpose} ${disk}`;
}

/** Copied, and proven with its SHA-256 as a whole; what turns out to be damaged is copied once more. */
export async function copyProven(flow: Flow, files: readonly FileToCopy[], rules: CopyRules): Promise<FileFact[]> {
  const copied = await copyFiles(flow, files, rules);
  return Promise.all(
    copied.map(async (file) => {
      try {
        return await proveFile(flow, file, true);
      } catch (thrown) {
        if (!(thrown instanceof TransferError) || thrown.code !== 'E_INTEGRITY') throw thrown;
        flow.note(`${thrown.message}; it is copied again`);
        const again = { ...rules, purpose: `${rules.purpose} again`, overwrite: true };
        const [second] = await copyFiles(flow, [file], again);
        return proveFile(flow, second ?? file, true);
      }
    }),
  );
}

/** By reading the target: it holds what was read at the source. @throws TransferError E_INTEGRITY */
export async function proveFile(flow: Flow, file: FileFact, whole: boolean): Promise<FileFact> {
  const { to, signal } = flow;
  const found = await to.files.digest(file.target, whole, signal);
  assertSame(file, found);
  const stat = await to.files.stat(file.target);
  const { chunkBytes, sha256 } = found;
  return { ...file, chunkBytes, ...(sha256 !== undefined && { sha256 }), ...(stat && { version: stat.version }) };
}

/** @throws TransferError E_INTEGRITY */
function assertSame(file: FileFact, found: FileDigest): void {
  if (found.bytes !== file.bytes) {
    throw damaged(file, `has ${found.bytes} bytes, and ${file.bytes} were copied`);
  }
  if (found.root !== file.root) throw damaged(file, 'holds other bytes than were copied');
}

export function damaged({ target }: Pick<FileFact, 'target'>, what: string): TransferError {
  return new TransferError('E_INTEGRITY', `${target} ${what}`, {
    hint: 'Nothing was started from it. Look for a storage or a program that changes files, and try again.',
  });
}

/** Milliseconds that the work took, and its result. */
export async function timed<T>(clock: Clock, work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startMs = nowMs(clock);
  const value = await work();
  return { value, ms: nowMs(clock) - startMs };
}

export function tookFor(bytes: number, ms: number): Took {
  return { bytes, ms: Math.round(ms) };
}
