/** `copyTree()`: several files, and folders with all that is in them. */
import { systemClock } from '../core/clock.js';
import type { PlannedFile } from '../core/tree.js';
import type { TreeCopy, TreeResult } from '../tree/tree-copy.js';
import type { YieldLease } from '../yield/desk.js';
import { type CopyOptions, locationOf, rateOf, requestOf } from './options.js';
import { Run } from './run.js';
import { goalOf, leaseFor, partsOf, releaseAfter } from './yielding.js';

type NotForTrees =
  | 'source'
  | 'target'
  | 'checksum'
  | 'delta'
  | 'to'
  | 'flatten'
  | 'parentFolders'
  | 'http'
  | 'finishBy';

/** As for a single file, where it says nothing else. */
export interface CopyTreeOptions extends Omit<CopyOptions, NotForTrees> {
  /** Paths; of a folder that ends with `/` only what is in it is meant. */
  readonly sources: readonly string[];
  /** A folder; made when it is missing. */
  readonly target: string;
  /** Folders too, with all that is in them. Default false: a folder among the sources is refused. */
  readonly recursive?: boolean;
  /** Copy only what matches; a pattern without a slash is a name, one with a slash a path below the source. */
  readonly include?: readonly string[];
  /** Leave out what matches. */
  readonly exclude?: readonly string[];
  /** Look and tell, and change nothing. */
  readonly dryRun?: boolean;
  /** Called with what a dry run finds, in the order in which it finds it. */
  readonly onPlanned?: (files: readonly PlannedFile[]) => void;
}

export class CopyTreeRun extends Run<TreeResult, TreeCopy> {
  /** Bytes per second from the next block on; 0 lifts the limit. */
  async setLimit(bytesPerSecond: number): Promise<void> {
    const rate = rateOf(bytesPerSecond);
    (await this.opened).work.setRate(rate);
  }
}

/**
 * Copies several files, or folders with all that is in them, into a folder; finished files are known by a journal, so
 * that the same call goes on where it stopped. The troubles of single files are in the result and end nothing.
 */
export function copyTree(options: CopyTreeOptions): CopyTreeRun {
  const { recursive = false, preserve = false, include = [], exclude = [], dryRun = false, onPlanned } = options;
  const request = {
    ...requestOf(options),
    ...{ recursive, preserve, include, exclude, dryRun },
    sources: options.sources.map((source) => locationOf('a source', source)),
    target: locationOf('target', options.target),
    manifest: options.manifest,
  };
  const parts = { clock: systemClock, random: Math.random, ...(onPlanned && { onPlanned }) };
  const goal = goalOf(options);
  // Of several sources the first says where all of them lie.
  const ends = { source: request.sources[0] ?? request.target, target: request.target };
  let lease: YieldLease | undefined;
  const run = new CopyTreeRun(async (runner) => {
    const { TreeCopy } = await import('../tree/tree-copy.js');
    lease = await leaseFor(ends, dryRun ? undefined : goal);
    return new TreeCopy(request, { ...parts, runner, ...partsOf(lease) });
  }, options);
  releaseAfter(run.result, () => lease);
  return run;
}
