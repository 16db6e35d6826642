/**
 * One round of the scheduler: it begins with what runs, and ends with what should. It goes from the highest to the
 * lowest, so that whoever it starts is never displaced again in the same round.
 */
import { type Backlog, byPlace, type Line, Sorted } from './backlog.js';
import { PRIORITIES, type Priority } from './job.js';
import { GRANTED, limitKeys, Places, rankOf, sliceLeft } from './places.js';
import type { Contender, Preemption, PreemptRule, Running, Situation } from './scheduler.js';
import { ShareBook } from './shares.js';

/** A waiting job whose turn it is. */
interface Turn {
  readonly job: Contender;
  /** Where the next of its line is found. */
  readonly line?: Line;
  readonly index: number;
  /** What it was until this round displaced it; back in its place it is the same again. */
  readonly was?: Running;
}

interface Displaced extends Preemption {
  readonly was: Running;
}

export class Round {
  readonly book: ShareBook;
  readonly places: Places;
  readonly #backlog: Backlog;
  readonly #situation: Situation;
  readonly #running: Map<string, Running>;
  readonly #started = new Set<string>();
  readonly #displaced = new Map<string, Displaced>();

  constructor(backlog: Backlog, running: readonly Running[], situation: Situation) {
    const { policy, now, shares } = situation;
    this.#backlog = backlog;
    this.#situation = situation;
    this.#running = new Map(running.map((job) => [job.id, job]));
    this.places = new Places(policy, now);
    this.book = new ShareBook(shares, new Set(this.#running.keys()), policy.sliceMs, now);
    for (const job of running) this.#hold(job);
  }

  get started(): readonly string[] {
    return [...this.#started];
  }

  get displaced(): readonly Displaced[] {
    return [...this.#displaced.values()];
  }

  get running(): readonly Running[] {
    return [...this.#running.values()];
  }

  allows(priority: Priority): boolean {
    return this.#situation.allowed.classes.includes(priority);
  }

  /** The first of each line of a class that still waits, and those that were displaced. */
  waiting(priority: Priority): readonly Contender[] {
    const lines = this.#backlog.lines(priority);
    const firsts = Array.from({ length: lines.length }, (_, at) => this.#firstWaiting(lines.at(at) as Line, 0)?.job);
    const displaced = this.displaced.map(({ again }) => again).filter((job) => job.priority === priority);
    return [...displaced, ...firsts.filter((job) => job !== undefined)];
  }

  /** Ends what a window does not allow, and what is above a limit that was lowered. */
  enforce(): void {
    for (const job of this.running) if (!this.allows(job.priority)) this.#displace(job, 'window');
    for (const key of new Set(this.running.flatMap(limitKeys))) {
      const holders = [...this.places.at(key)].sort((one, other) => this.places.firstToGo(one, other));
      const above = Math.max(0, holders.length - this.places.limit(key));
      for (const holder of holders.slice(0, above)) this.#displace(holder.job, 'limit');
    }
  }

  /**
   * Lets those run whose class saved up a slice, strictly in the order in which they wait: where the first of them has
   * to wait for the end of another's grant nobody else gets one, or such grants could follow each other for ever.
   */
  grant(): void {
    for (;;) {
      const able = PRIORITIES.filter((priority) => this.allows(priority) && this.book.hasSlice(priority));
      const turns = able.map((priority) => this.#nextByShare(priority)).filter((turn) => turn !== undefined);
      const first = turns.sort((one, other) => byPlace(one.job, other.job))[0];
      if (!first) {
        if (able.some((priority) => this.#grantAgain(priority))) continue;
        return;
      }
      if (typeof this.#take(first, GRANTED) === 'string') return;
      this.book.spend(first.job.id, first.job.priority);
    }
  }

  /** Starts those of a class who fit, and those for whom others yield, in the order of their places. */
  fill(priority: Priority): void {
    if (!this.allows(priority)) return;
    const lines = this.#backlog.lines(priority);
    const others = new Sorted<Turn>((one, other) => byPlace(one.job, other.job));
    const wait = ({ again: job, was }: Displaced): void => {
      if (job.priority === priority) others.add({ job, index: 0, was });
    };
    this.displaced.forEach(wait);
    for (let next = 0; ; ) {
      const line = lines.at(next);
      const fresh = line && this.#firstWaiting(line, 0);
      const other = others.at(0);
      if (line && !fresh) {
        next++;
        continue;
      }
      const turn = fresh && other ? (byPlace(fresh.job, other.job) <= 0 ? fresh : other) : (fresh ?? other);
      if (!turn) return;
      if (turn === fresh) next++;
      else others.takeFirst();
      const left = this.#take(turn, rankOf(priority));
      // What nobody gets who comes later in the class, since all of it need the same.
      if (left === limitKeys(turn.job)[0]) return;
      if (typeof left === 'string') continue;
      left.forEach(wait);
      const after = turn.line && this.#firstWaiting(turn.line, turn.index + 1);
      if (after) others.add(after);
    }
  }

  #higherWaits(priority: Priority): boolean {
    return PRIORITIES.slice(0, rankOf(priority)).some((higher) => this.#backlog.lines(higher).length > 0);
  }

  #grantAgain(priority: Priority): boolean {
    const job = this.#running.get(this.book.overOf(priority) ?? '');
    if (!job || !this.#higherWaits(priority)) return false;
    this.book.spend(job.id, priority);
    this.#hold(job, GRANTED);
    return true;
  }

  /** The first whom higher jobs keep waiting; whoever waits for equals has its turn among them. */
  #nextByShare(priority: Priority): Turn | undefined {
    const higherWaits = this.#higherWaits(priority);
    const lines = this.#backlog.lines(priority);
    for (let at = 0; at < lines.length; at++) {
      const turn = this.#firstWaiting(lines.at(at) as Line, 0);
      if (!turn) continue;
      const full = this.places.fullFor(turn.job);
      if (full.length === 0 ? higherWaits : this.places.outranked(turn.job).length > 0) return turn;
    }
    return undefined;
  }

  #firstWaiting(line: Line, from: number): Turn | undefined {
    for (let index = from; ; index++) {
      const job = line.jobs.at(index);
      if (!job || !this.#started.has(job.id)) return job && { job, line, index };
    }
  }

  /** Starts it, and answers who was displaced for it; or the limit that left no place for it. */
  #take({ job, was }: Turn, rank: number): readonly Displaced[] | string {
    const room = this.places.roomFor(job, rank);
    if (typeof room === 'string') return room;
    const rule = (of: number): PreemptRule => (rank === GRANTED ? 'share' : of > rank ? 'priority' : 'slice');
    const left = room.map((holder) => this.#displace(holder.job, rule(holder.rank), job.id));
    if (was) this.#displaced.delete(job.id);
    else this.#started.add(job.id);
    this.#hold(was ?? { ...job, startedAt: this.#situation.now }, rank);
    return left;
  }

  #hold(job: Running, rank = this.book.isGranted(job.id) ? GRANTED : rankOf(job.priority)): void {
    this.#running.set(job.id, job);
    this.places.add({ job, rank });
  }

  #displace(job: Running, rule: PreemptRule, by?: string): Displaced {
    this.places.remove(job);
    this.#running.delete(job.id);
    this.book.giveBack(job.id);
    const { startedAt: _, ...place } = job;
    const { now, policy } = this.#situation;
    const left = sliceLeft(job, policy.sliceMs, now);
    const again =
      left > 0 ? { ...place, usedMs: policy.sliceMs - left } : { ...place, since: now + policy.sliceMs, usedMs: 0 };
    const displaced = { id: job.id, rule, again, was: job, ...(by === undefined ? {} : { by }) };
    this.#displaced.set(job.id, displaced);
    return displaced;
  }
}
