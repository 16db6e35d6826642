/**
 * Several files and whole folders, as one job: small files in batches, large ones each by a transfer of its own, and
 * one journal that knows what is finished, so that the same command goes on where it stopped. What goes wrong with one
 * file is told and does not keep the others; what goes wrong with the target ends the job.
 */
import { nowMs } from '../core/clock.js';
import type { Algorithm } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { JobState, ProofLevel } from '../core/events.js';
import { newStop } from '../core/stop.js';
import { type FileFailure, type FileGroup, type PlannedFile, specialFile, type TargetTree } from '../core/tree.js';
import { ManifestWriter } from '../journal/manifest-writer.js';
import { ControlBlock } from '../transfer/control-block.js';
import { EventStream } from '../transfer/event-stream.js';
import { Pace } from '../transfer/pace.js';
import { Progress, TICK_MS } from '../transfer/progress.js';
import type { TransferParts, TransferRequest } from '../transfer/transfer.js';
import { Filter } from './filter.js';
import { LargeFiles } from './large-files.js';
import { closeTrees, nameOf, type OpenedTree, openTree } from './opening.js';
import { SmallFiles } from './small-files.js';
import { Tally } from './tally.js';
import { Walk } from './walk.js';

/** What the transfers of the large files are asked for too. */
type Inherited = Omit<TransferRequest, 'source' | 'target' | 'discard'>;

export interface TreeRequest extends Inherited {
  readonly sources: readonly Location[];
  /** A folder, made when it is missing. */
  readonly target: Location;
  /** Folders too, with all that is in them. */
  readonly recursive: boolean;
  readonly preserve: boolean;
  /** Throw partial copies away; together with `overwrite`, copy also anew what is finished. */
  readonly discard: boolean;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Look and tell, and change nothing. */
  readonly dryRun: boolean;
}

export interface TreeResult {
  readonly target: string;
  /** Copied in this run. */
  readonly files: number;
  readonly links: number;
  readonly folders: number;
  /** Finished by an earlier run, and unchanged at both ends since. */
  readonly skipped: number;
  /** Left as they were. */
  readonly refused: number;
  readonly failed: number;
  readonly bytesCopied: number;
  /** Of those: on record from an earlier run, and proven again. */
  readonly bytesReused: number;
  /** Of those: shared with the source instead of written (reflinks). */
  readonly bytesCloned: number;
  readonly bytesSkipped: number;
  readonly algorithm: Algorithm;
  /** Of all that this run copied. */
  readonly proof: ProofLevel;
  /** The first of them; all are told as events. */
  readonly failures: readonly FileFailure[];
  readonly dryRun: boolean;
  /** Of a dry run: how fast large files of the source were read past the cache, where there are any. */
  readonly readBytesPerSecond?: number;
  readonly elapsedMs: number;
}

export interface TreeParts extends TransferParts {
  /** Of a dry run: called for each file, in the order in which they are met. */
  readonly onPlanned?: (files: readonly PlannedFile[]) => void;
}

export class TreeCopy {
  readonly events: EventStream;
  readonly #request: TreeRequest;
  readonly #parts: TreeParts;
  readonly #control: ControlBlock;
  readonly #pace: Pace;
  readonly #progress: Progress;
  readonly #stop = newStop();
  readonly #filter: Filter;
  readonly #tally: Tally;
  #large: LargeFiles | undefined;

  /** @throws TransferError E_USAGE for patterns that cannot be read */
  constructor(request: TreeRequest, parts: TreeParts) {
    this.#request = request;
    this.#parts = parts;
    this.#control = ControlBlock.create(parts.paces);
    this.#filter = new Filter(request.include, request.exclude);
    this.events = new EventStream(() => parts.clock.wallMs());
    this.#pace = new Pace(this.#control.pace, parts.clock);
    this.#pace.setRate(request.rateBytesPerSecond);
    this.#progress = new Progress({ ...parts, control: this.#control, pace: this.#pace });
    this.#tally = new Tally((event) => this.events.emit(event), this.#progress, this.#control);
  }

  /** Ends the work within a block's time; finished files are kept, and `run` rejects with E_STOPPED. */
  suspend(): void {
    this.#control.stop();
    this.#stop.abort();
    this.#large?.suspend();
  }

  /** Bytes per second from the next block on; 0 lifts the limit. */
  setRate(bytesPerSecond: number): void {
    this.#pace.setRate(bytesPerSecond);
    this.#large?.setRate(bytesPerSecond);
  }

  /** To be called once. @throws TransferError of the job as a whole; the troubles of single files are in the result */
  async run(): Promise<TreeResult> {
    const { clock } = this.#parts;
    const startMs = nowMs(clock);
    const ticking = new AbortController();
    let ticks: Promise<void> | undefined;
    try {
      this.#state('connecting', 'looking at both ends');
      const opened = await openTree(this.#request, this.#parts.runner);
      ticks = this.#tick(ticking.signal);
      await this.#withEnds(opened);
      this.#progress.phase = 'done';
      this.#tally.tell();
      const whole = this.#request.dryRun ? 'looked at; nothing was changed' : 'complete and proven';
      this.#state('acknowledged', this.#tally.isFlawless ? whole : 'complete but for what was told');
      return { ...this.#result(opened.target), elapsedMs: Math.round(nowMs(clock) - startMs) };
    } catch (thrown) {
      const error = TransferError.from(thrown);
      this.#state(error.code === 'E_STOPPED' ? 'suspended' : 'error', error.message, error);
      throw error;
    } finally {
      ticking.abort();
      await ticks;
      this.events.end();
    }
  }

  async #withEnds(opened: OpenedTree): Promise<void> {
    const { runner, clock } = this.#parts;
    try {
      await this.#copyAll(opened);
    } catch (thrown) {
      const flush = TransferError.from(thrown).code === 'E_FLUSH';
      if (flush) await runner.run('doubt-tree', { journal: opened.journal.ref });
      throw thrown;
    } finally {
      this.#control.stop();
      this.#control.closeAll();
      // As for a single file: a descriptor that a stuck thread may still use stays open.
      if (await this.#control.untilDetached(clock, DETACH_MS)) {
        const ref = opened.journal.ref.journal;
        if (ref.fd >= 0) await runner.run('close-journal', { ref });
        await closeTrees([...opened.sources, opened.target], runner);
      }
    }
  }

  async #copyAll(opened: OpenedTree): Promise<void> {
    const { runner } = this.#parts;
    const { dryRun, sync, manifest } = this.#request;
    const { journal, target } = opened;
    // Hours later would be too late to learn that it cannot be written.
    if (manifest !== undefined && !dryRun) await (await ManifestWriter.begin(manifest, { sync })).abandon();
    const { tag } = journal;
    if (journal.damagedRecords > 0) this.#note(`${journal.damagedRecords} damaged journal records were passed over`);
    if (journal.leftIn.length > 0 && !dryRun) {
      await runner.run('sweep-folders', { target: target.ref, folders: journal.leftIn, tag });
    }
    this.#state('transferring', dryRun ? 'looking what there is to do' : 'copying');
    this.#progress.phase = 'copying';
    for (const sentence of this.#parts.yielding?.notes ?? []) this.#note(sentence);
    const walk = this.#walk(opened);
    this.#large = new LargeFiles({ ...this.#parts, request: this.#request, target, journal, tally: this.#tally });
    const small = new SmallFiles({
      ...{ ...this.#parts, ...opened, walk, tag, control: this.#control, signal: this.#stop.signal },
      ...{ request: this.#request, tally: this.#tally, large: this.#large, note: (message) => this.#note(message) },
    });
    for (let more = true; more; ) {
      more = await small.run();
      if (!more) this.#tally.total = walk.files;
      await this.#large.run();
    }
    for (const pattern of this.#filter.unused) this.#note(`--include ${pattern}: nothing in the source matches it`);
    if (dryRun) return;
    if (this.#request.readBack && small.pastCache && this.#large.pastCache) this.#progress.proof = 'read-back';
    if (!small.pastCache) this.#note('the target cannot be read past the cache here: small files were not read back');
    this.#progress.phase = 'committing';
    // Those of an earlier run too, which was ended before it came to that.
    const folders = [...journal.restrict, ...small.restrict];
    if (folders.length > 0) {
      const notes = await runner.run('restrict-folders', { target: target.ref, folders, journal: journal.ref });
      for (const message of notes) this.#note(message);
    }
    if (this.#request.preserve) await this.#finishFolders(opened, walk);
    const end = { target: target.ref, journal: journal.ref };
    if (sync) await runner.run('settle-tree', { ...end, folders: small.mounts });
    if (manifest !== undefined) await runner.run('write-tree-manifest', { journal, path: manifest, sync });
  }

  #walk({ sources }: OpenedTree): Walk {
    const { runner } = this.#parts;
    const told = (state: FileFailure['state'], path: string, error: TransferError): void =>
      this.#tally.fail({ path, state, error: error.toJSON() });
    return new Walk({
      sources,
      filter: this.#filter,
      list: (source, folder) => runner.run('list-folder', { ref: source.ref, folder }),
      onSpecial: (source, path) => told('refused', nameOf(source, path), specialFile(nameOf(source, path))),
      onFailure: (source, path, thrown) => told('failed', nameOf(source, path), TransferError.from(thrown)),
    });
  }

  async #finishFolders({ target }: OpenedTree, walk: Walk): Promise<void> {
    const { runner } = this.#parts;
    let groups: FileGroup[] = [];
    const give = async (): Promise<void> => {
      const notes = await runner.run('finish-folders', { target: target.ref, groups });
      for (const message of notes) this.#note(message);
      groups = [];
      this.#assertRunning();
    };
    for await (const group of walk.foldersUpwards()) {
      groups.push(group);
      if (groups.length === FOLDERS_AT_ONCE) await give();
    }
    await give();
  }

  #assertRunning(): void {
    if (this.#control.stopped) throw new TransferError('E_STOPPED', 'stopped; finished files are kept');
  }

  async #tick(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#parts.clock.sleep(TICK_MS, signal);
      if (!signal.aborted) this.#tally.tell();
    }
  }

  #note(message: string): void {
    this.events.emit({ type: 'note', message });
  }

  #state(state: JobState, reason: string, error?: TransferError): void {
    const { sources, target } = this.#request;
    const source = sources.map(({ name }) => name).join(', ');
    this.events.emit({
      type: 'state',
      state,
      source,
      target: target.name,
      reason,
      ...(error && { error: error.toJSON() }),
    });
  }

  #result(target: TargetTree): Omit<TreeResult, 'elapsedMs'> {
    const { algorithm, dryRun } = this.#request;
    const seconds = this.#control.spent().sourceReadMs / 1000;
    const rate = Math.round(this.#control.counter('readBytes') / seconds);
    return {
      ...{ target: target.ref.name, ...this.#tally.result(), algorithm, proof: this.#progress.proof, dryRun },
      ...(dryRun && seconds > 0 && { readBytesPerSecond: rate }),
    };
  }
}

const DETACH_MS = 2000;
const FOLDERS_AT_ONCE = 256;
