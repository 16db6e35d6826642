/**
 * Carries an opened job out: copies and proves what the plan says, reads back, and commits. The order of its steps is
 * the crash contract's.
 */
import { orLate } from '../core/clock.js';
import { loadHasher, sameBytes, zeroDigest } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import type { EventBody } from '../core/events.js';
import type { CommitRequest } from '../core/target.js';
import { formatBytes } from '../core/units.js';
import { CLAIM } from '../journal/journal.js';
import type { ManifestWriter } from '../journal/manifest-writer.js';
import { askBeforeCommit } from './before-commit.js';
import { Checkpointer } from './checkpointer.js';
import { type Checksum, checksumOf } from './checksum.js';
import type { ControlBlock } from './control-block.js';
import { gateTarget } from './gate.js';
import { type Kept, readKept } from './kept.js';
import { Lanes } from './lanes.js';
import type { OpenedJob, OpenedWork } from './opening.js';
import type { Progress } from './progress.js';
import { finishManifest, type ProvenFile, provenFile } from './proven-file.js';
import { MAP } from './requests.js';
import { checkSource } from './source-check.js';
import type { TransferParts, TransferRequest } from './transfer.js';

const REPAIR_ROUNDS_MAX = 3;
/** A last flush may take long on a slow disk; on one that hangs it takes for ever. */
const PUT_DOWN_MS = 30_000;

export interface CarryOutParts extends TransferParts {
  readonly request: TransferRequest;
  readonly job: OpenedJob;
  readonly work: OpenedWork;
  readonly control: ControlBlock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly emit: (event: EventBody) => void;
  /** Takes over what a storage that does not answer keeps from ending; it never rejects. */
  readonly leave: (unfinished: Promise<void>) => void;
  readonly blockBytes: number;
  readonly lanes: number;
  readonly manifest: ManifestWriter | undefined;
}

export class CarryOut {
  readonly #parts: CarryOutParts;
  readonly #checkpointer: Checkpointer;
  readonly #lanes: Lanes;
  #kept: Kept = {};
  bytesRepaired = 0;
  /** Of the finished part, where it was asked for. */
  checksum: Checksum | undefined;

  constructor(parts: CarryOutParts) {
    this.#parts = parts;
    const { runner, clock, request, job, work, progress, emit } = parts;
    this.#checkpointer = new Checkpointer({
      runner,
      clock,
      plan: work.plan,
      target: work.prepared.ref,
      journal: job.journal,
      position: work.position,
      sync: request.sync,
      unsynced: work.unsynced,
      vouchesForNothing: job.site.vouchesForNothing,
      commitFollows: !request.readBack && job.site.publish === 'atomic',
      onCheckpoint: (chunks, bytes, flushMs) => emit({ type: 'checkpoint', chunks, bytes, flushMs }),
      onGivenBack: (bytes, error) => {
        const doubted = error && job.site.vouchesForNothing ? work.plan.doubtSettled() : 0;
        progress.bytesVoid += bytes + doubted;
        const what = `${formatBytes(bytes)} that were not on record are written again`;
        const proven = doubted > 0 ? `, and ${formatBytes(doubted)} on record are proven again` : '';
        if (error) emit({ type: 'note', message: `${error.message}; ${what}${proven}` });
      },
    });
    this.#lanes = new Lanes({
      ...parts,
      plan: work.plan,
      claims: work.claims,
      checkpointer: this.#checkpointer,
      source: job.source.ref,
      target: work.prepared.ref,
      algorithm: job.algorithm,
      clone: work.clone,
      delta: request.delta ?? false,
      alsoSource: work.alsoSource,
    });
  }

  /** To be called a few times a second. */
  tick(): void {
    this.#checkpointer.tick();
  }

  /** Answers what is proven of the target. @throws TransferError, with everything that was finished on record */
  async run(): Promise<ProvenFile> {
    try {
      const { request, job } = this.#parts;
      if (request.preserve) this.#kept = await readKept(job.source, this.#parts);
      await this.#settleZeroes();
      this.#parts.progress.phase = 'copying';
      await this.#copy();
      this.#tellMismatches();
      if (job.site.laysOut) await this.#complete();
      if (request.readBack) await this.#readBack();
      await this.#checksum();
      return await this.#commit();
    } catch (thrown) {
      const error = TransferError.from(thrown);
      await this.#putDown(error);
      throw error;
    }
  }

  #tellMismatches(): void {
    const { progress, emit, job, work } = this.#parts;
    if (progress.bytesMismatched === 0) return;
    const holder = work.alsoSource ? `${job.source.name} or ${job.site.name} holds now` : `${job.site.name} holds`;
    const what = `${formatBytes(progress.bytesMismatched)} on record were not what ${holder} and were copied again`;
    const why = work.alsoSource ? 'the source was written to, or a storage' : 'its storage, or what else writes there,';
    emit({ type: 'note', message: `${what}: ${why} needs a look` });
  }

  /** What is zero at both ends is done before it began; it only has to be put on record, in runs. */
  async #settleZeroes(): Promise<void> {
    const { plan, claims } = this.#parts.work;
    const { progress, job } = this.#parts;
    const newHasher = await loadHasher(job.algorithm);
    const full = zeroDigest(newHasher, Math.min(job.grid.chunkBytes, job.grid.size));
    const last = job.grid.count - 1;
    let [runFrom, runTo] = [0, 0];
    const endRun = (): void => {
      if (runTo > runFrom) this.#checkpointer.note({ type: 'zero', chunk: runFrom, count: runTo - runFrom });
    };
    plan.forEach((chunk, work) => {
      if (work !== 'settled' && work !== 'zero' && claims.kinds[chunk] !== CLAIM.zero) return;
      const { length } = job.grid.range(chunk);
      claims.digests.set(chunk === last ? zeroDigest(newHasher, length) : full, chunk * full.length);
      if (work !== 'settled') return;
      progress.bytesZero += length;
      if (claims.kinds[chunk] === CLAIM.zero) return;
      if (chunk !== runTo) endRun();
      runFrom = chunk === runTo ? runFrom : chunk;
      runTo = chunk + 1;
    });
    endRun();
  }

  async #copy(): Promise<void> {
    const { plan } = this.#parts.work;
    for (;;) {
      await this.#lanes.runPlan();
      await this.#lanes.drain();
      if (plan.unsettled === 0) return;
      plan.releaseHeld();
    }
  }

  /** What makes a disk of the chunks; all of them are on record by now. */
  #complete(): Promise<void> {
    const { runner, request, work } = this.#parts;
    return runner.run('complete-target', { ref: work.prepared.ref, request });
  }

  /** Past the cache; chunks that differ are copied again, flushed, and read back once more. */
  async #readBack(): Promise<void> {
    const { progress, emit, work } = this.#parts;
    let toRead: readonly number[] = await this.#chunksWithData();
    for (let round = 0; ; round++) {
      progress.startReading(
        'reading-back',
        toRead.reduce((sum, chunk) => sum + work.plan.grid.range(chunk).length, 0),
      );
      const differing = await this.#lanes.readBack(toRead);
      if (differing.length === 0) break;
      const bytes = differing.reduce((sum, chunk) => sum + work.plan.grid.range(chunk).length, 0);
      if (round === REPAIR_ROUNDS_MAX) throw unrepairable(differing[0] as number, this.#parts);
      emit({
        type: 'note',
        message: `${differing.length} chunks read back wrong and are written again (${formatBytes(bytes)})`,
      });
      progress.bytesVoid += bytes;
      this.bytesRepaired += bytes;
      for (const chunk of differing) work.plan.giveBack(chunk);
      progress.phase = 'copying';
      await this.#copy();
      toRead = differing;
    }
    if (this.#lanes.pastCache) progress.proof = 'read-back';
    else
      emit({
        type: 'note',
        message: 'the target cannot be read past the cache here; what was read back may be the cache',
      });
  }

  /** All but the holes that are meant to be holes: nothing was written there that could have been written wrong. */
  async #chunksWithData(): Promise<number[]> {
    const { runner, work, job } = this.#parts;
    const { size, chunkBytes, count } = job.grid;
    const map = await runner.run('map-target', { ref: work.prepared.ref, size, chunkBytes });
    const zero = zeroDigest(await loadHasher(job.algorithm), Math.min(chunkBytes, size));
    const chunks: number[] = [];
    for (let chunk = 0; chunk < count; chunk++) {
      if (map?.[chunk] !== MAP.zero || !sameBytes(this.#lanes.digestOf(chunk), zero)) chunks.push(chunk);
    }
    return chunks;
  }

  async #checksum(): Promise<void> {
    const { request, job, work } = this.#parts;
    if (!request.checksum) return;
    const { size } = job.grid;
    const part = {
      end: 'part',
      ref: work.prepared.ref,
      size,
      pastCache: request.readBack,
      name: job.site.name,
      // Of the file; a disk that is laid out anew is another one.
      said: job.site.laysOut ? undefined : job.source.sha256,
    } as const;
    this.checksum = await checksumOf(request.checksum, part, this.#parts);
  }

  async #commit(): Promise<ProvenFile> {
    const { runner, request, job, work, progress, manifest, emit } = this.#parts;
    progress.phase = 'committing';
    await checkSource(this.#parts, this.#lanes);
    await this.#checkTarget();
    const { algorithm, grid } = job;
    const { chunkBytes, size } = grid;
    const { mode, version } = job.source;
    const proven = await provenFile({ algorithm, chunkBytes, size }, work.claims.digests, {
      proof: progress.proof,
      of: job.source.of,
    });
    if (manifest) await finishManifest(manifest, job.site.fileName, proven);
    const { ref } = work.prepared;
    const { times, attributes } = this.#kept;
    const part = await runner.run('mark-target', { ref, ...(times && { times }) });
    await askBeforeCommit(this.#parts, ref, { ...proven, part, sourceVersion: version.value });
    await this.#checkpointer.append([{ type: 'committing', part, root: proven.root }]);
    const commit: CommitRequest = {
      overwrite: request.overwrite,
      sync: request.sync,
      ...(mode !== undefined && { mode }),
      ...(attributes && { attributes }),
      ...(work.claims.tokens.size > 0 && { tokens: work.claims.tokens }),
    };
    for (const message of await runner.run('commit-target', { ref, request: commit })) emit({ type: 'note', message });
    await manifest?.publish();
    // A journal of a finished file that comes back after a power cut is known as that, by its `committing` record.
    const sync = request.sync && job.site.publish === 'in-place';
    await runner.run('drop-journal', { ref: job.journal, sync });
    return proven;
  }

  /** What was sound at the source is sound at the target, unless the storage or we made a mistake. */
  async #checkTarget(): Promise<void> {
    const { runner, request, job, work, control } = this.#parts;
    const { forgets, unreadable, laysOut } = job.site;
    if (!request.check || forgets || unreadable || !(job.gate || laysOut)) return;
    const target = { ref: work.prepared.ref, name: job.site.name, size: job.grid.size, control: control.shared };
    await gateTarget(target, runner);
  }

  /** Puts what is finished and the reason on record; a second failure is told, but the first is the one that counts. */
  async #putDown(error: TransferError): Promise<void> {
    const { clock, job, runner, emit, leave } = this.#parts;
    const tell = (thrown: unknown): void => emit({ type: 'note', message: TransferError.from(thrown).message });
    const { code, message } = error;
    const record = async (): Promise<void> => {
      await this.#checkpointer.drain().catch((thrown) => {
        if (thrown !== error) tell(thrown);
      });
      await this.#checkpointer.append([{ type: 'stopped', at: clock.wallMs(), code, message }]).catch(tell);
      await runner.run('close-journal', { ref: job.journal }).catch(tell);
    };
    const recording = record();
    if ((await orLate(recording, clock, PUT_DOWN_MS, AbortSignal.abort())) !== 'late') return;
    leave(recording);
    emit({ type: 'note', message: 'the storage does not answer; what is on record is kept' });
  }
}

function unrepairable(chunk: number, { work, job }: CarryOutParts): TransferError {
  const { offset } = work.plan.grid.range(chunk);
  return new TransferError(
    'E_INTEGRITY',
    `${job.site.name}: chunk ${chunk} at byte ${offset} reads back wrong again and again`,
    {
      hint: 'Do not trust this storage or the way to it. The copy got no name; what reads back right is kept.',
      chunk,
      offset,
    },
  );
}
