/**
 * Who watches what: one controller for each storage or link and each manner to yield, shared by all that read or write
 * there, and there while anybody does.
 */
import { dirname } from 'node:path';
import { type Clock, orLate } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import type { Goal } from './control-law.js';
import { newOwnLevels, YieldController } from './controller.js';
import { type BlockDevice, deviceBelow } from './device.js';
import { Signals } from './signals.js';

/** What a copy holds while it yields. */
export interface YieldLease {
  /** Of its source and its target. */
  readonly paces: readonly SharedArrayBuffer[];
  /** What cannot be seen, as sentences for people. */
  readonly notes: readonly string[];
  /** Whom it makes way for now; undefined: nobody. */
  readonly reason: () => string | undefined;
  readonly release: () => void;
}

/** A storage that does not say where it lies in this time hangs; then it is watched by its path alone. */
const STAT_MS = 1000;

export class YieldDesk {
  readonly #clock: Clock;
  readonly #controllers = new Map<string, YieldController>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of a file that is read or written there. Never rejects. */
  async lease(ends: { readonly source: Location; readonly target: Location }, goal: Goal): Promise<YieldLease> {
    const [source, target] = await Promise.all([this.#at(ends.source, goal), this.#at(ends.target, goal)]);
    return leaseOf(source, target);
  }

  /**
   * As {@link lease}, for those who were not asked to yield, and do so by a rule: where others cannot be seen, what is
   * only slow would be taken for them. Undefined: they can be seen at neither end.
   */
  async leaseWhereSeen(ends: Parameters<YieldDesk['lease']>[0], goal: Goal): Promise<YieldLease | undefined> {
    const [source, target] = await Promise.all([this.#at(ends.source, goal, true), this.#at(ends.target, goal, true)]);
    return source || target ? leaseOf(source, target) : undefined;
  }

  async #at(location: Location, goal: Goal, onlySeen = false): Promise<YieldController | undefined> {
    const place = await this.#placeOf(location);
    if (place === undefined) return undefined;
    if (onlySeen && (typeof place === 'string' || place.statistics === undefined)) return undefined;
    const key = `${JSON.stringify(goal)} ${typeof place === 'string' ? place : place.key}`;
    const known = this.#controllers.get(key);
    if (known) return known;
    const levels = newOwnLevels(typeof place === 'string');
    const watched = new Signals(levels, place);
    const made = new YieldController({ levels, watched, goal, clock: this.#clock });
    this.#controllers.set(key, made);
    return made;
  }

  async #placeOf(location: Location): Promise<BlockDevice | string | undefined> {
    const { scheme, text } = insideDisk(location);
    if (scheme === 'file') {
      const found = await orLate(deviceBelow(text), this.#clock, STAT_MS, AbortSignal.abort());
      return found === 'late' ? { key: `path ${dirname(text)}`, name: dirname(text) } : found;
    }
    return URL.canParse(text) && new URL(text).host !== '' ? new URL(text).host : undefined;
  }
}

/** What lies in an image lies where the image does. */
function insideDisk(location: Location): Location {
  if (location.scheme !== 'disk') return location;
  const { container } = JSON.parse(location.text) as { readonly container: Location };
  return container;
}

function leaseOf(source: YieldController | undefined, target: YieldController | undefined): YieldLease {
  const controllers = [...new Set([source, target])].filter((controller) => controller !== undefined);
  for (const controller of controllers) controller.use();
  return {
    paces: [...(source ? [source.levels.reads] : []), ...(target ? [target.levels.writes] : [])],
    notes: controllers.flatMap(({ notes }) => notes),
    reason: () => slowest(controllers)?.reason,
    release: () => {
      for (const controller of controllers) controller.release();
    },
  };
}

function slowest(controllers: readonly YieldController[]): YieldController | undefined {
  const held = controllers.filter(({ rate }) => rate > 0);
  return held.toSorted((one, other) => one.rate - other.rate)[0];
}
