/**
 * The jobs that wait, in lines: all that have the same priority, kind and paths stand in one line, so that only the
 * first of each need be looked at.
 */
import type { Contender } from './scheduler.js';

export class Backlog {
  get size(): number {
    return 0;
  }

  get(_id: string): Contender | undefined {
    return undefined;
  }

  /** One of the same id is replaced. */
  add(_contender: Contender): void {
    throw new Error('comes next');
  }

  /** Whether it was there. */
  remove(_id: string): boolean {
    throw new Error('comes next');
  }
}
