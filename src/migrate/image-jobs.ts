/**
 * The jobs of a migration: one for each file. A job is known by its name, so that after a restart the one that was made
 * before is gone on with, and none is made twice.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import { type ErrorJson, TransferError } from '../core/errors.js';
import type { JobState } from '../core/events.js';
import type { Priority } from '../service/job.js';
import type { Caller, FileView, JobService, JobView } from '../service/job-service.js';

export interface ImageCopy {
  /** What the job is for, such as `base`: with the file's name it is one of a kind in its migration. */
  readonly purpose: string;
  readonly source: string;
  readonly target: string;
  readonly priority: Priority;
  readonly overwrite: boolean;
  /** A machine stands still: an error that might pass is one. */
  readonly urgent: boolean;
  /** Default false. */
  readonly check?: boolean;
}

export interface ImageCopied {
  readonly bytes: number;
  /** Of what was read at the source; absent where a crash came between the commit and its record. */
  readonly root?: string;
}

/** `waitsFor`: an error that may pass, and that is waited for. */
type Moved = (bytesDone: number, waitsFor: string | undefined) => void;

/** All jobs of migrations are theirs; administrators see them. */
const OWNER: Caller = { name: 'migrations', admin: false };
const ENDED: readonly JobState[] = ['acknowledged', 'cancelled', 'error'];

export class ImageJobs {
  readonly #service: JobService;
  readonly #migration: string;

  constructor(service: JobService, migration: string) {
    this.#service = service;
    this.#migration = migration;
  }

  /**
   * The file is whole, proven and under its name at the target. Aborting leaves the job as it is.
   * @throws TransferError of the job, E_STOPPED
   */
  async copy(copy: ImageCopy, moved: Moved, signal: AbortSignal): Promise<ImageCopied> {
    const name = this.#nameOf(copy);
    const known = this.#ours().find((job) => job.name === name && job.state !== 'cancelled');
    const job = known ?? (await this.#create(name, copy));
    if (known && (known.state === 'error' || known.state === 'suspended' || known.state === 'transient-error')) {
      await this.#service.resume(job.id, OWNER);
    }
    const { size: bytes = 0, root } = await this.#end(job.id, copy, moved, signal);
    return { bytes, ...(root !== undefined && { root }) };
  }

  /** By such a copy the target has got its name, or may just have: what stands there is ours. */
  hasPlaced(copy: Pick<ImageCopy, 'purpose' | 'source' | 'target'>): boolean {
    const name = this.#nameOf(copy);
    return this.#ours().some((job) => {
      if (job.name !== name) return false;
      const [file] = this.#service.get(job.id, OWNER).files;
      return file?.state === 'committing' || file?.state === 'committed';
    });
  }

  /** What they have copied in part goes; what has its name stays. */
  async cancel(purpose?: string): Promise<void> {
    const prefix = purpose === undefined ? `${this.#migration} ` : `${this.#migration} ${purpose} `;
    const open = this.#ours().filter(({ name, state }) => name.startsWith(prefix) && !isFinal(state));
    await Promise.all(open.map(({ id }) => this.#service.cancel(id, { keepPartial: false }, OWNER)));
  }

  /** Images of one disk may have one name, too, and long names may only differ at their ends. */
  #nameOf({ purpose, source, target }: Pick<ImageCopy, 'purpose' | 'source' | 'target'>): string {
    const which = createHash('sha256').update(`${source}\0${target}`).digest('hex').slice(0, 8);
    return `${this.#migration} ${purpose} ${basename(source).slice(0, 100)} ${which}`;
  }

  #ours(): JobView[] {
    return this.#service.list(OWNER, { all: true }).filter(({ name }) => name.startsWith(`${this.#migration} `));
  }

  #create(name: string, { source, target, priority, overwrite, check = false }: ImageCopy): Promise<JobView> {
    return this.#service.create(
      {
        ...{ name, priority, kind: 'migration', autoComplete: true },
        files: [{ source, target }],
        options: { algorithm: 'sha256', chunkBytes: CHUNK_BYTES_DEFAULT, check, overwrite },
      },
      OWNER,
    );
  }

  async #end(id: string, { urgent }: ImageCopy, moved: Moved, signal: AbortSignal): Promise<FileView> {
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    const told = this.#service.events(OWNER, { job: id }, stop.signal)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = told.next();
        const job = this.#service.get(id, OWNER);
        moved(job.progress.bytesDone, job.state === 'transient-error' ? job.reason : undefined);
        const [file] = job.files;
        if (job.state === 'acknowledged' && file) return file;
        if (ENDED.includes(job.state) || (urgent && job.state === 'transient-error')) throw failure(job);
        if (signal.aborted || (await next).done) throw stopped();
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      stop.abort();
    }
  }
}

function isFinal(state: JobState): boolean {
  return state === 'acknowledged' || state === 'cancelled';
}

function failure({ name, state, error, reason }: JobView): TransferError {
  if (error) return TransferError.fromJSON(error as ErrorJson);
  return new TransferError('E_JOB_STATE', `the job ${name} is ${state}: ${reason}`, {
    hint: 'It belongs to a migration: go on with that, or abort it.',
  });
}

function stopped(): TransferError {
  return new TransferError('E_STOPPED', 'the migration stopped; all that is finished is on record', {
    hint: 'It goes on when the service is started again.',
  });
}
