/** The small files and the links of a tree: batches on all lanes, until there are no more or large files pile up. */
import { orLate } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { FileGroup, FilesOutcome } from '../core/tree.js';
import { KiB } from '../core/units.js';
import type { ControlBlock } from '../transfer/control-block.js';
import type { FilesTask } from '../transfer/requests.js';
import type { LargeFiles } from './large-files.js';
import { type OpenedTree, SMALL_BYTES_MAX } from './opening.js';
import type { Tally } from './tally.js';
import type { TreeParts, TreeRequest } from './tree-copy.js';
import type { Walk } from './walk.js';

/** What this means for memory: some hundred bytes each. */
const LARGE_WAITING_MAX = 4096;
const BLOCK_BYTES = 256 * KiB;
/** One at work, and the next one waiting. */
const LANES_PER_WORKER = 2;
/** How long a stop waits for tasks, which look for it at every block. */
const STUCK_MS = 2000;

export interface SmallFilesParts extends TreeParts, OpenedTree {
  readonly request: TreeRequest;
  readonly walk: Walk;
  readonly tag: string;
  readonly control: ControlBlock;
  readonly tally: Tally;
  readonly large: LargeFiles;
  /** Aborts when the job is stopped. */
  readonly signal: AbortSignal;
  readonly note: (message: string) => void;
}

export class SmallFiles {
  readonly #parts: SmallFilesParts;
  readonly #batches: AsyncGenerator<FileGroup[]>;
  readonly #mounts = new Map<bigint, string>();
  readonly #restrict: FilesOutcome['restrict'][number][] = [];
  #pastCache = true;

  constructor(parts: SmallFilesParts) {
    this.#parts = parts;
    this.#batches = parts.walk.batches();
  }

  /** New folders that are to lose their write permission once they are filled. */
  get restrict(): FilesOutcome['restrict'] {
    return this.#restrict;
  }

  /** A folder on each other file system below the target. */
  get mounts(): string[] {
    return [...this.#mounts.values()];
  }

  /** False: --read-back was asked for, and some files could not be read past the cache. */
  get pastCache(): boolean {
    return this.#pastCache;
  }

  /** False: that was all. @throws TransferError of the first lane that failed, E_STOPPED when stopped */
  async run(): Promise<boolean> {
    const { runner, control, clock, walk } = this.#parts;
    const failed = new AbortController();
    let failure: unknown;
    const lane = (): Promise<void> =>
      this.#lane().catch((thrown) => {
        failure ??= thrown;
        control.stop();
        failed.abort();
      });
    const lanes = Promise.all(Array.from({ length: runner.workers * LANES_PER_WORKER }, lane));
    // A task that is stuck in a system call is left behind: its files are not on record.
    await orLate(lanes, clock, STUCK_MS, AbortSignal.any([this.#parts.signal, failed.signal]));
    if (failure !== undefined) throw failure;
    if (control.stopped) throw new TransferError('E_STOPPED', 'stopped; finished files are kept');
    return !walk.ended;
  }

  async #lane(): Promise<void> {
    const { runner, control, large, tally, note, onPlanned } = this.#parts;
    const task = this.#task();
    while (!control.stopped && large.waiting < LARGE_WAITING_MAX) {
      const { value: groups, done } = await this.#batches.next();
      if (done) return;
      const outcome = await runner.run('copy-files', { ...task, groups });
      tally.add(outcome);
      large.add(outcome.large);
      for (const { device, folder } of outcome.mounts) this.#mounts.set(device, folder);
      this.#restrict.push(...outcome.restrict);
      this.#pastCache &&= outcome.pastCache;
      for (const message of outcome.notes) note(message);
      if (task.dryRun) onPlanned?.(outcome.planned);
    }
  }

  #task(): Omit<FilesTask, 'groups'> {
    const { request, target, journal, tag, control } = this.#parts;
    const { overwrite, preserve, reflink = 'auto', sync, readBack, dryRun, algorithm } = request;
    return {
      ...{ overwrite, preserve, reflink, sync, readBack, dryRun, algorithm, tag },
      target: target.ref,
      fresh: target.created,
      journal: journal.ref,
      smallBytesMax: SMALL_BYTES_MAX,
      blockBytes: BLOCK_BYTES,
      control: control.shared,
    };
  }
}
