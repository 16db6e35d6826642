/**
 * What the service tells of a job, as a reporter draws it: the files of a job are under way side by side, as those of a
 * tree are, and what it waits for is said once and not at each turn that it gets.
 */
import type { FileEvent, JobState, ProgressEvent, StateEvent, TransferEvent } from '../../core/events.js';
import type { WholeJobView } from '../../daemon/client.js';
import type { FileView } from '../../service/job-service.js';
import type { Told } from '../../service/told.js';

export interface Shown {
  readonly events: readonly TransferEvent[];
  /** A line of its own. */
  readonly say?: string;
}

export const WAITING: readonly JobState[] = ['queued', 'suspended', 'transient-error'];
/** What is said of a job that simply goes on. */
const PLAIN: readonly string[] = ['', 'copying', 'goes on'];

export class JobProgress {
  /** Files that are drawn. */
  readonly #running = new Set<number>();
  readonly #failed = new Map<number, string>();
  #last: ProgressEvent | undefined;
  #said: Partial<Record<'waits' | 'moves', string>> = {};

  see({ file, event }: Told): Shown {
    if (event.type === 'progress') this.#last = event;
    if (event.type !== 'state') return { events: [event] };
    return file === undefined ? this.#state(event) : { events: [] };
  }

  /** Of a job of several files: those that are copied now, and what became of the others. */
  files({ files }: WholeJobView): FileEvent[] {
    return files.length === 1 ? [] : files.flatMap((file) => this.#file(file) ?? []);
  }

  #file({ index, target, state, size = 0, bytesDone, error }: FileView): FileEvent | undefined {
    const about = { schema: 1, at: this.#last?.at ?? 0, type: 'file', path: target, size, bytesDone } as const;
    const failed = error ? `${error.code} ${error.message}` : undefined;
    if (state === 'copying') {
      this.#running.add(index);
      return { ...about, state: 'started' };
    }
    if (state === 'failed' && error && this.#failed.get(index) !== failed) {
      this.#running.delete(index);
      this.#failed.set(index, failed ?? '');
      return { ...about, state: 'failed', error };
    }
    return this.#running.delete(index) ? { ...about, state: 'done' } : undefined;
  }

  #state({ state, reason, at }: StateEvent): Shown {
    if (state === 'transferring') return PLAIN.includes(reason) ? { events: [] } : this.#once('moves', reason);
    if (!WAITING.includes(state)) return { events: [] };
    if (!this.#last) return this.#once('waits', `${state}: ${reason}`);
    const { remainingMs: _, ...last } = this.#last;
    this.#last = { ...last, at, rateBytesPerSecond: 0 };
    return { ...this.#once('waits', `${state}: ${reason}`), events: [this.#last] };
  }

  #once(kind: 'waits' | 'moves', line: string): Shown {
    if (this.#said[kind] === line) return { events: [] };
    this.#said = { ...this.#said, [kind]: line };
    return { events: [], say: line };
  }
}
