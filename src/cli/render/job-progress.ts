/**
 * What the service tells of a job, as a reporter draws it: the files of a job are under way side by side, as those of a
 * tree are, and what it waits for is said once and not at each turn that it gets.
 */
import type { FileEvent, JobState, ProgressEvent, StateEvent, TransferEvent } from '../../core/events.js';
import type { WholeJobView } from '../../daemon/client.js';
import type { Told } from '../../service/told.js';

export interface Shown {
  readonly events: readonly TransferEvent[];
  /** A line of its own. */
  readonly say?: string;
}

const WAITING: readonly JobState[] = ['queued', 'suspended', 'transient-error'];
const NOTHING: Shown = { events: [] };

export class JobProgress {
  #job: WholeJobView;
  /** Of each file that is under way, what was told last. */
  readonly #files = new Map<number, ProgressEvent>();
  /** Whoever tells of the job as a whole knows better than a sum. */
  #wholeTold = false;
  #last: ProgressEvent | undefined;
  #said = '';

  constructor(job: WholeJobView) {
    this.#job = job;
  }

  /** What is known by now of the files that are not under way. */
  count(job: WholeJobView): void {
    this.#job = job;
  }

  see({ file, event }: Told): Shown {
    if (event.type === 'progress') return { events: this.#progress(file, event) };
    if (event.type !== 'state') return { events: [event] };
    return file === undefined ? this.#jobState(event) : this.#fileState(file, event);
  }

  #progress(file: number | undefined, event: ProgressEvent): TransferEvent[] {
    const single = this.#job.files.length === 1;
    if (file === undefined || single) {
      this.#wholeTold ||= file === undefined;
      this.#last = single ? event : { ...event, files: event.files ?? this.#counts() };
      return [this.#last];
    }
    this.#files.set(file, event);
    const started = this.#fileEvent(file, { state: 'started', bytesDone: event.bytesDone, size: event.bytesTotal });
    if (this.#wholeTold) return [started];
    this.#last = this.#sum(event);
    return [started, this.#last];
  }

  /** Of the files that are under way what they tell, and of the others what was known last. */
  #sum(event: ProgressEvent): ProgressEvent {
    const parts = this.#job.files.map(({ index, size = 0, ...known }) => {
      return this.#files.get(index) ?? { ...known, bytesTotal: size, rateBytesPerSecond: 0 };
    });
    const sum = (of: (part: (typeof parts)[number]) => number): number => parts.reduce((all, one) => all + of(one), 0);
    const { remainingMs: _, ...rest } = event;
    const [bytesDone, bytesTotal] = [sum((part) => part.bytesDone), sum((part) => part.bytesTotal)];
    const rate = sum((part) => part.rateBytesPerSecond);
    return {
      ...rest,
      ...{ bytesDone, bytesTotal, rateBytesPerSecond: rate, files: this.#counts() },
      ...{ bytesReused: sum((part) => part.bytesReused), bytesZero: sum((part) => part.bytesZero) },
      ...(rate > 0 && { remainingMs: ((bytesTotal - bytesDone) / rate) * 1000 }),
    };
  }

  #counts(): NonNullable<ProgressEvent['files']> {
    const { filesDone, filesTotal } = this.#job.progress;
    const failed = this.#job.files.filter(({ state }) => state === 'failed').length;
    return { done: filesDone, total: filesTotal, skipped: 0, failed };
  }

  #jobState({ state, reason, at }: StateEvent): Shown {
    if (!WAITING.includes(state)) return state === 'transferring' ? this.#once(reason) : NOTHING;
    const over = [...this.#files.keys()].map((file) => this.#fileEvent(file, { state: 'done' }));
    this.#files.clear();
    const { remainingMs: _, ...last } = this.#last ?? {};
    const still = this.#last ? [{ ...this.#last, ...last, at, rateBytesPerSecond: 0 }] : [];
    return { ...this.#once(`${state}: ${reason}`), events: [...over, ...still] };
  }

  #fileState(file: number, { state, reason, error }: StateEvent): Shown {
    if (state === 'transferring') return this.#once(reason);
    if (state === 'connecting' || state === 'queued') return NOTHING;
    this.#files.delete(file);
    if (this.#job.files.length === 1) return NOTHING;
    const failed = state === 'error' || state === 'transient-error';
    const how = failed ? ({ state: 'failed', reason, ...(error && { error }) } as const) : ({ state: 'done' } as const);
    return { events: [this.#fileEvent(file, how)] };
  }

  #once(line: string): Shown {
    if (line === this.#said || line === 'copying' || line === '') return NOTHING;
    this.#said = line;
    return { events: [], say: line };
  }

  #fileEvent(file: number, about: Pick<FileEvent, 'state'> & Partial<FileEvent>): FileEvent {
    const known = this.#job.files.find(({ index }) => index === file);
    const at = this.#last?.at ?? 0;
    return { schema: 1, at, type: 'file', path: known?.target ?? `file ${file}`, size: known?.size ?? 0, ...about };
  }
}
