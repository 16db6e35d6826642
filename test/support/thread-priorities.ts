/** The nice values of all threads of a process, as the kernel shows them (proc(5), stat). */
import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../../src/core/errors.js';

/** The nineteenth field; the second, a name in brackets, may have spaces. */
const NICE_AFTER_NAME = 16;

export function threadPriorities(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [Number(fields[NICE_AFTER_NAME])];
    } catch (thrown) {
      // It has ended meanwhile.
      if (errnoOf(thrown) === undefined) throw thrown;
      return [];
    }
  });
}
