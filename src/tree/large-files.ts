/**
 * The large files of a tree, one after the other, each by a transfer with a journal of its own and all the lanes there
 * are. A file is on the tree's record before it gets its name, as the small ones are.
 */
import { toHex } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { ENDS_ALL, type FinishedFile, type LargeFile, pathIn, type TargetTree } from '../core/tree.js';
import { fileVersion } from '../core/version.js';
import type { OpenedTreeJournal } from '../journal/tree-journal.js';
import type { ProvenPart } from '../transfer/proven-file.js';
import { Transfer, type TransferParts } from '../transfer/transfer.js';
import type { TransferResult } from '../transfer/transfer-result.js';
import type { Tally } from './tally.js';
import type { TreeRequest } from './tree-copy.js';

export interface LargeFilesParts extends TransferParts {
  readonly request: TreeRequest;
  readonly target: TargetTree;
  readonly journal: OpenedTreeJournal;
  readonly tally: Tally;
}

export class LargeFiles {
  readonly #parts: LargeFilesParts;
  readonly #waiting: LargeFile[] = [];
  #running: Transfer | undefined;
  #rate: number;
  #stopped = false;
  #pastCache = true;
  /** The running one is on the tree's record. */
  #recorded: FinishedFile | undefined;

  constructor(parts: LargeFilesParts) {
    this.#parts = parts;
    this.#rate = parts.request.rateBytesPerSecond;
  }

  /** All that was copied was read back past the cache. */
  get pastCache(): boolean {
    return this.#pastCache;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  add(files: readonly LargeFile[]): void {
    this.#waiting.push(...files);
    for (const { size } of files) this.#parts.tally.bytesLarge += size;
  }

  suspend(): void {
    this.#stopped = true;
    this.#running?.suspend();
  }

  setRate(bytesPerSecond: number): void {
    this.#rate = bytesPerSecond;
    this.#running?.setRate(bytesPerSecond);
  }

  /** All that wait. @throws TransferError of the target or the job as a whole */
  async run(): Promise<void> {
    const { tally } = this.#parts;
    for (let file = this.#waiting.shift(); file; file = this.#waiting.shift()) {
      try {
        await this.#copy(file);
      } catch (thrown) {
        const error = TransferError.from(thrown);
        if (ENDS_ALL.has(error.code)) throw error;
        const state = error.exitCode === 2 ? 'refused' : 'failed';
        tally.fail({ path: pathOf(file), state, error: error.toJSON() });
      }
    }
  }

  /** Both ends are held by descriptors of their folders meanwhile, so that no link can lead them elsewhere. */
  async #copy(file: LargeFile): Promise<void> {
    const { runner, target } = this.#parts;
    const { group, name } = file;
    const { source: ref, sourceFolder, targetFolder, as } = group;
    const source = await runner.run('locate-in-tree', { ref, folder: sourceFolder, name });
    try {
      const to = { ref: target.ref, folder: targetFolder, name: as ?? name };
      const end = await runner.run('locate-in-tree', to);
      try {
        await this.#transferOrReplace(file, source.location, end.location);
      } finally {
        await runner.run('close-in-tree', { scheme: target.ref.scheme, fd: end.fd });
      }
    } finally {
      await runner.run('close-in-tree', { scheme: ref.scheme, fd: source.fd });
    }
  }

  /** What is partial of a file that was changed since is in the way of bringing it up to date. */
  async #transferOrReplace(file: LargeFile, source: Location, target: Location): Promise<void> {
    const { overwrite, discard } = this.#parts.request;
    try {
      await this.#transfer(file, source, target, discard);
    } catch (thrown) {
      if (!overwrite || TransferError.from(thrown).code !== 'E_PART_OTHER_SOURCE') throw thrown;
      await this.#transfer(file, source, target, true);
    }
  }

  async #transfer(file: LargeFile, source: Location, target: Location, discard: boolean): Promise<void> {
    const { request, tally } = this.#parts;
    if (this.#stopped) throw new TransferError('E_STOPPED', 'stopped; finished files are kept');
    const asked = { ...request, source, target, discard, rateBytesPerSecond: this.#rate, manifest: undefined };
    const transfer = new Transfer(asked, {
      ...this.#parts,
      beforeCommit: (proven) => this.#record(file, proven),
    });
    this.#recorded = undefined;
    this.#running = transfer;
    const told = tally.follow(pathOf(file), file.size, transfer.events);
    let result: TransferResult;
    try {
      result = await transfer.run();
    } catch (thrown) {
      await this.#unrecord();
      throw thrown;
    } finally {
      this.#running = undefined;
      await told;
    }
    this.#pastCache &&= result.proof === 'read-back';
    tally.doneLarge(pathOf(file), file.size, result);
  }

  async #record(file: LargeFile, proven: ProvenPart): Promise<void> {
    const { part, sourceVersion, algorithm, chunkBytes, digests, proof } = proven;
    const { runner, journal, request } = this.#parts;
    const targetVersion = fileVersion(part, file.targetStrength);
    const changed = `${sourceVersion} ctime ${file.changedNs}`;
    const about = { path: pathOf(file), size: part.size, sourceVersion: changed, targetVersion };
    this.#recorded = { ...about, algorithm, chunkBytes, digests: toHex(digests), proof };
    await runner.run('record-files', { journal: journal.ref, files: [this.#recorded], sync: request.sync });
  }

  async #unrecord(): Promise<void> {
    const { runner, journal, request } = this.#parts;
    const file = this.#recorded;
    if (file) await runner.run('unrecord-file', { journal: journal.ref, file, sync: request.sync });
  }
}

function pathOf({ group, name }: LargeFile): string {
  return pathIn(group, name);
}
