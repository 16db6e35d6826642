/**
 * The jobs that wait, in lines: all that have the same priority, kind and paths stand in one line, so that only the
 * first of each need be looked at. Lines and the jobs in them are kept in order, so that adding, removing and looking
 * cost a few comparisons however many jobs wait; what costs more with more is only how many sets of paths there are.
 */
import { PRIORITIES, type Priority } from './job.js';
import type { Contender } from './scheduler.js';

/** The least `since` first; ids decide between equals, so that the order is always the same. */
export function byPlace(one: Contender, other: Contender): number {
  return one.since - other.since || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}

/** A list in order; finding a place in it takes as many comparisons as its length has binary digits. */
export class Sorted<T> {
  readonly #items: T[] = [];
  readonly #compare: (one: T, other: T) => number;

  constructor(compare: (one: T, other: T) => number) {
    this.#compare = compare;
  }

  get length(): number {
    return this.#items.length;
  }

  at(index: number): T | undefined {
    return this.#items[index];
  }

  /** How many come before it. */
  rank(item: T): number {
    let low = 0;
    for (let high = this.#items.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (this.#compare(this.#items[middle] as T, item) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  add(item: T): void {
    this.#items.splice(this.rank(item), 0, item);
  }

  /** The one that compares as equal. */
  remove(item: T): void {
    this.#items.splice(this.rank(item), 1);
  }

  takeFirst(): T | undefined {
    return this.#items.shift();
  }
}

/** Contenders that differ in nothing that a limit asks for; never empty. */
export interface Line {
  readonly key: string;
  readonly jobs: Sorted<Contender>;
}

const firstOf = (line: Line): Contender => line.jobs.at(0) as Contender;

export class Backlog {
  readonly #jobs = new Map<string, Contender>();
  readonly #lines = new Map<string, Line>();
  readonly #classes: Readonly<Record<Priority, Sorted<Line>>>;

  constructor() {
    const none = (): Sorted<Line> => new Sorted((one, other) => byPlace(firstOf(one), firstOf(other)));
    this.#classes = { foreground: none(), high: none(), normal: none(), low: none() };
  }

  get size(): number {
    return this.#jobs.size;
  }

  get(id: string): Contender | undefined {
    return this.#jobs.get(id);
  }

  /** Of a class, in the order of the first job of each. */
  lines(priority: Priority): Pick<Sorted<Line>, 'at' | 'length'> {
    return this.#classes[priority];
  }

  /** One of the same id is replaced. */
  add(contender: Contender): void {
    this.remove(contender.id);
    const key = lineKey(contender);
    const line = this.#lines.get(key) ?? { key, jobs: new Sorted(byPlace) };
    this.#change(line, contender, () => line.jobs.add(contender));
    this.#jobs.set(contender.id, contender);
  }

  /** Whether it was there. */
  remove(id: string): boolean {
    const contender = this.#jobs.get(id);
    const line = contender && this.#lines.get(lineKey(contender));
    if (!contender || !line) return false;
    this.#change(line, contender, () => line.jobs.remove(contender));
    return this.#jobs.delete(id);
  }

  /** How many stand before it: those of higher classes, and its equals whose turn comes sooner. */
  ahead(contender: Contender): number {
    const above = PRIORITIES.slice(0, PRIORITIES.indexOf(contender.priority));
    const higher = above.flatMap((priority) => linesOf(this.#classes[priority])).map((line) => line.jobs.length);
    const equals = linesOf(this.#classes[contender.priority]).map((line) => line.jobs.rank(contender));
    return [...higher, ...equals].reduce((sum, count) => sum + count, 0);
  }

  /** Changes a line; where that changes its first job, the line finds its new place in its class. */
  #change(line: Line, contender: Contender, change: () => void): void {
    const lines = this.#classes[contender.priority];
    const first = line.jobs.at(0);
    const moves = !first || byPlace(contender, first) <= 0;
    if (first && moves) lines.remove(line);
    change();
    if (line.jobs.length === 0) this.#lines.delete(line.key);
    else this.#lines.set(line.key, line);
    if (moves && line.jobs.length > 0) lines.add(line);
  }
}

function linesOf(lines: Sorted<Line>): readonly Line[] {
  return Array.from({ length: lines.length }, (_, index) => lines.at(index) as Line);
}

function lineKey({ priority, kind, sourcePaths, targetPaths }: Contender): string {
  return JSON.stringify([priority, kind, [...sourcePaths].sort(), [...targetPaths].sort()]);
}
