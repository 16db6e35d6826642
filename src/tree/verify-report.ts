/** What a verification of a folder found: everything is counted, and the first problems are listed. */
import type { ByteRange } from '../core/chunk.js';
import type { FileProblem } from '../transfer/requests.js';

/** More problems than this are counted but not listed. */
export const PROBLEMS_MAX = 1000;
/** Ranges that are listed of one file. */
export const RANGES_MAX = 64;

/** A problem with the file of this path, relative to the target. */
export type ListedProblem = FileProblem & { readonly path: string };

export interface TreeVerifyResult {
  /** Every file that should be there is there, with the same bytes. */
  readonly same: boolean;
  readonly target: string;
  /** The manifest, or the folder, that it was compared with. */
  readonly against: string;
  readonly files: number;
  /** Of those files, as they should be. */
  readonly bytes: number;
  readonly filesMissing: number;
  /** Other bytes, another size, or no regular file. */
  readonly filesDifferent: number;
  readonly filesUnreadable: number;
  /** Files in the target that nothing was said of; no failure. */
  readonly filesExtra: number;
  /** The first that were met, by path. */
  readonly problems: readonly ListedProblem[];
  readonly elapsedMs: number;
}

/** One file of the comparison; all its parts share it, so that it is counted once. */
export interface FileState {
  readonly path: string;
  /** A symbolic link is expected. */
  readonly link: boolean;
  problem?: FileProblem;
}

type Counted = Pick<TreeVerifyResult, 'filesMissing' | 'filesDifferent' | 'filesUnreadable'>;

const COUNTS: Readonly<Record<FileProblem['problem'], keyof Counted>> = {
  missing: 'filesMissing',
  kind: 'filesDifferent',
  size: 'filesDifferent',
  different: 'filesDifferent',
  unreadable: 'filesUnreadable',
};

export class VerifyReport {
  readonly #states: FileState[] = [];
  readonly #counts: { -readonly [K in keyof Counted]: number } = {
    filesMissing: 0,
    filesDifferent: 0,
    filesUnreadable: 0,
  };
  /** Regular files in the target, under names that they should have. */
  present = 0;
  #files = 0;
  #bytes = 0;

  begin(path: string, size: number, link = false): FileState {
    this.#files++;
    this.#bytes += size;
    if (!link) this.present++;
    return { path, link };
  }

  /** A part of the file was found to be wrong. */
  add(state: FileState, problem: FileProblem): void {
    const { problem: known } = state;
    if (problem.problem === 'different' && (known === undefined || known.problem === 'different')) {
      const before = known?.differing ?? [];
      state.problem = { problem: 'different', differing: joined([...before, ...problem.differing]) };
    } else state.problem ??= problem;
    if (known) return;
    this.#counts[COUNTS[problem.problem]]++;
    if (!state.link && (problem.problem === 'missing' || problem.problem === 'kind')) this.present--;
    if (this.#states.length < PROBLEMS_MAX) this.#states.push(state);
  }

  result(): Counted & Pick<TreeVerifyResult, 'same' | 'files' | 'bytes' | 'problems'> {
    const problems = this.#states.map(({ path, problem }) => ({ path, ...(problem as FileProblem) }));
    problems.sort((one, other) => (one.path < other.path ? -1 : 1));
    const wrong = this.#counts.filesMissing + this.#counts.filesDifferent + this.#counts.filesUnreadable;
    return { same: wrong === 0, files: this.#files, bytes: this.#bytes, ...this.#counts, problems };
  }
}

/** In order, merged where they touch, and no more than are listed: the last range then grows over what follows. */
function joined(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges.toSorted((one, other) => one.offset - other.offset)) {
    const last = merged.at(-1);
    if (last && (last.offset + last.length >= offset || merged.length === RANGES_MAX)) {
      last.length = Math.max(last.length, offset + length - last.offset);
    } else merged.push({ offset, length });
  }
  return merged;
}
