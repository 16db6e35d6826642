/** The deadlines of jobs: each keeps its job to the pace that it needs, and is told once when it will not be kept. */
import type { Clock } from '../core/clock.js';
import type { DeadlineView } from '../core/events.js';
import { newPaceLevel, setPaceLevel } from '../core/pace-level.js';
import { DeadlinePace } from '../transfer/deadline-pace.js';
import { Allowances } from './allowances.js';
import { isFinal, type Job } from './job.js';
import type { Policy } from './policy/policy.js';

interface Deadline {
  readonly finishBy: string;
  readonly pace: DeadlinePace;
}

export interface JobDeadlinesParts {
  readonly clock: Clock;
  readonly policy: () => Policy;
  /** Bytes per second of a job that runs; absent: it does not. */
  readonly rate: (id: string) => number | undefined;
  readonly tell: (job: Job, sentence: string) => void;
}

export class JobDeadlines {
  readonly #parts: JobDeadlinesParts;
  readonly #allowances: Allowances;
  readonly #levels = new Map<string, SharedArrayBuffer>();
  readonly #deadlines = new Map<string, Deadline>();

  constructor(parts: JobDeadlinesParts) {
    this.#parts = parts;
    this.#allowances = new Allowances(parts.policy);
  }

  /** One of the paces of that job, for as long as it is known. */
  level(id: string): SharedArrayBuffer {
    const level = this.#levels.get(id) ?? newPaceLevel(0, 'deadline');
    this.#levels.set(id, level);
    return level;
  }

  /** Absent: it has none. */
  view(id: string): DeadlineView | undefined {
    return this.#deadlines.get(id)?.pace.view;
  }

  /** To be called about once a second, and when a deadline was set. */
  look(job: Job): void {
    const { finishBy, id } = job;
    if (isFinal(job.state) || job.state === 'transferred' || !finishBy) {
      this.#drop(id, isFinal(job.state));
      return;
    }
    const { pace } = this.#kept(job, finishBy);
    const bytesLeft = bytesLeftOf(job);
    if (bytesLeft === undefined) return;
    const bytesAfter = job.options.readBack ? bytesLeft : 0;
    const late = pace.look({ bytesLeft, bytesPerSecond: this.#parts.rate(id), bytesAfter });
    if (late !== undefined) this.#parts.tell(job, late);
  }

  #kept(job: Job, finishBy: string): Deadline {
    const known = this.#deadlines.get(job.id);
    if (known?.finishBy === finishBy) return known;
    const { clock } = this.#parts;
    const since = clock.wallMs();
    const allowedAt = (at: number) => this.#allowances.of(job, at, clock.wallMs());
    const level = this.level(job.id);
    const pace = new DeadlinePace({ clock, since, finishBy: Date.parse(finishBy), allowedAt, level });
    const deadline = { finishBy, pace };
    this.#deadlines.set(job.id, deadline);
    return deadline;
  }

  #drop(id: string, forGood: boolean): void {
    const level = this.#levels.get(id);
    if (this.#deadlines.delete(id) && level) setPaceLevel(level, 0);
    if (forGood) this.#levels.delete(id);
  }
}

/** What was not looked at yet counts as large as the others are; undefined: nothing is known of any. */
function bytesLeftOf({ files }: Job): number | undefined {
  let [left, size, known] = [0, 0, 0];
  for (const file of files) {
    if (file.size === undefined) continue;
    known++;
    size += file.size;
    left += file.size - file.bytesDone;
  }
  if (known === 0) return undefined;
  return left + (size / known) * (files.length - known);
}
