/** The rates of the last ten minutes, a point a second: of each priority class, and of each job that was under way. */

const SECONDS_MAX = 600;

type Points = (number | null)[];

export class RateHistory {
  /** Seconds since 1970, oldest first. */
  readonly times: number[] = [];
  readonly #series = new Map<string, Points>();

  /** Bytes per second by name; who is not named has no point at this second. */
  add(atSeconds: number, rates: ReadonlyMap<string, number>): void {
    const before = this.times.length;
    this.times.push(atSeconds);
    for (const name of rates.keys()) {
      if (!this.#series.has(name)) this.#series.set(name, new Array<null>(before).fill(null));
    }
    for (const [name, points] of this.#series) points.push(rates.get(name) ?? null);
    if (this.times.length <= SECONDS_MAX) return;
    this.times.shift();
    for (const [name, points] of this.#series) {
      points.shift();
      if (points.every((point) => point === null)) this.#series.delete(name);
    }
  }

  /** As many as there are times. */
  of(name: string): readonly (number | null)[] {
    return this.#series.get(name) ?? new Array<null>(this.times.length).fill(null);
  }

  latest(name: string): number {
    return this.#series.get(name)?.at(-1) ?? 0;
  }
}
