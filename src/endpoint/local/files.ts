/**
 * Small files in batches: each is written to a hidden partial file beside its name; then all of them are made durable
 * at once, recorded, and named (crash contract, rule 12). What goes wrong with one does not keep the others.
 */
import { type BigIntStats, readlinkSync } from 'node:fs';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { FileGroup, FilesHost, FilesOutcome, FilesRequest, TreeRef } from '../../core/tree.js';
import { ENDS_ALL, joinPath, pathIn } from '../../core/tree.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { FolderPath, inFolder, type Step } from '../../platform/folder.js';
import { type PathBytes, showPath } from '../../platform/path-bytes.js';
import { settled } from '../settled.js';
import { makeLink, readLink } from './link.js';
import { isCommitCutShort } from './part.js';
import { PendingFiles } from './pending.js';
import { assertReplaceable, REFUSALS } from './replaced.js';
import { openSmallFile, probeReading, SmallFileWriter, sameFiles } from './small-file.js';
import { partNameIn, within } from './tree-paths.js';
import { TreeVersions } from './tree-versions.js';

const NOTES_MAX = 20;
/** Folders that one thread holds by descriptors before it settles what is in them; a process may have 256 only. */
const FOLDERS_HELD_MAX = 32;

type Counted = {
  -readonly [K in keyof FilesOutcome]: FilesOutcome[K] extends readonly (infer T)[] ? T[] : FilesOutcome[K];
};

/** @throws TransferError of the target as a whole; what is finished by then has its name */
export function copyFiles(files: FileLayer, request: FilesRequest, host: FilesHost): Promise<FilesOutcome> {
  return new FilesCopy(files, request, host).run();
}

class FilesCopy {
  readonly #files: FileLayer;
  readonly #request: FilesRequest;
  readonly #host: FilesHost;
  /** Absent: a dry run whose target does not exist yet. */
  readonly #target: FolderPath | undefined;
  readonly #sources = new Map<number, FolderPath>();
  readonly #versions = new TreeVersions();
  readonly #outcome: Counted = {
    ...{ files: 0, links: 0, folders: 0, skipped: 0, bytesCopied: 0, bytesCloned: 0, bytesSkipped: 0, stopped: false },
    ...{ large: [], failures: [], restrict: [], mounts: [], notes: [], planned: [] },
    pastCache: true,
  };
  readonly #pending: PendingFiles;
  readonly #writer: SmallFileWriter;

  constructor(files: FileLayer, request: FilesRequest, host: FilesHost) {
    this.#files = files;
    this.#request = request;
    this.#host = host;
    if (request.target.fd >= 0) this.#target = new FolderPath(request.target);
    this.#pending = new PendingFiles(files, request, host);
    this.#writer = new SmallFileWriter(files, host, request);
  }

  async run(): Promise<FilesOutcome> {
    const { groups, dryRun } = this.#request;
    try {
      if (!dryRun) this.#host.begin(groups.map((group) => group.targetFolder));
      for (const group of groups) {
        if (this.#foldersPassed() >= FOLDERS_HELD_MAX) this.#settle();
        await this.#group(group);
      }
      this.#settle();
      if (!dryRun) this.#host.end();
    } catch (thrown) {
      const error = TransferError.from(thrown);
      this.#giveUp();
      if (error.code !== 'E_STOPPED') throw error;
      this.#outcome.stopped = true;
    } finally {
      this.#pending.close();
      for (const path of [this.#target, ...this.#sources.values()]) path?.release(true);
    }
    return { ...this.#outcome, bytesCloned: this.#writer.bytesCloned, pastCache: this.#pending.pastCache };
  }

  async #group(group: FileGroup): Promise<void> {
    if (this.#host.stopped()) throw new TransferError('E_STOPPED', 'stopped; finished files are kept');
    const folders = this.#openFolders(group);
    if (!folders) return;
    const { source, target } = folders;
    for (const name of group.links) await this.#one(group, name, () => this.#link(group, source, target, name));
    for (const name of group.files) {
      await this.#one(group, name, () => this.#file(group, source, target, name));
      if (this.#pending.isFull) this.#settle();
    }
  }

  #foldersPassed(): number {
    return [this.#target, ...this.#sources.values()].reduce((sum, path) => sum + (path?.passed ?? 0), 0);
  }

  /** The target's is missing in a dry run that would make it. */
  #openFolders(group: FileGroup): { source: Step; target: Step | undefined } | undefined {
    const { dryRun } = this.#request;
    const { source: ref, sourceFolder, targetFolder, prefixDepth } = group;
    try {
      const above = this.#sources.get(ref.fd) ?? new FolderPath(ref);
      this.#sources.set(ref.fd, above);
      const source = within('open-source', ref, sourceFolder, () => above.open(sourceFolder));
      const make = {
        // Writable until it is filled.
        mode: (folder: string) => this.#modeFor(folder, above.modeAt(folder.split('/').length - prefixDepth)),
        made: () => this.#outcome.folders++,
      };
      const openTarget = (): Step | undefined => this.#target?.open(targetFolder, dryRun ? undefined : make);
      const target = within('open-target', this.#request.target, targetFolder, openTarget);
      if (target) this.#meet(target, targetFolder);
      return { source, target };
    } catch (thrown) {
      const error = TransferError.from(thrown);
      if (dryRun && error.code === 'E_TARGET_FOLDER' && errnoOf(error.cause) === 'ENOENT') {
        return { source: this.#sources.get(ref.fd)?.open(sourceFolder) as Step, target: undefined };
      }
      this.#fail(targetFolder, error);
      return undefined;
    }
  }

  #meet({ device }: Step, folder: string): void {
    const { mounts } = this.#outcome;
    if (device === this.#target?.root.device || mounts.some((met) => met.device === device)) return;
    mounts.push({ device, folder });
  }

  /** Of a folder that is about to be made. */
  #modeFor(folder: string, sourceMode: number): number {
    const mode = sourceMode & 0o777;
    if ((mode & 0o700) !== 0o700) {
      const restrict = { folder, mode: mode & ~process.umask() };
      this.#host.restrict(restrict.folder, restrict.mode);
      this.#outcome.restrict.push(restrict);
    }
    return mode | 0o700;
  }

  async #one(group: FileGroup, name: string, work: () => Promise<void> | void): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.#fail(pathIn(group, name), TransferError.from(thrown));
    }
  }

  #fail(path: string, error: TransferError): void {
    if (ENDS_ALL.has(error.code)) throw error;
    const state = REFUSALS.has(error.code) ? 'refused' : 'failed';
    this.#outcome.failures.push({ path, state, error: error.toJSON() });
  }

  async #file(group: FileGroup, folder: Step, target: Step | undefined, name: string): Promise<void> {
    const path = pathIn(group, name);
    const targetName = group.as ?? name;
    const from = inFolder(folder, name);
    const end = target && { folder: target, from: inFolder(target, targetName) };
    const there = end && !this.#request.fresh ? this.#files.lstat(end.from) : undefined;
    const large = Number(there?.size ?? 0) > this.#request.smallBytesMax;
    if (end && large && !this.#request.dryRun && isCommitCutShort(this.#files, end.from)) {
      return this.#leaveLarge(group, name, there as BigIntStats, end.folder);
    }
    if (end && there && (await this.#isFinished(group, name, { folder, from }, end, there))) return;
    const shown = this.#shown(group.source, group.sourceFolder, name);
    const opened = openSmallFile(this.#files, from, shown);
    try {
      const source = await settled(this.#files, opened, shown);
      if (there) this.#assertReplaceable(path, there);
      const size = Number(source.stat.size);
      if (this.#request.dryRun || !target) {
        probeReading(inFolder({ fd: source.fd, path: String(from) }, ''), size, this.#host);
        this.#outcome.planned.push({ path, action: there ? 'replace' : 'copy', size });
        this.#outcome.files++;
        this.#outcome.bytesCopied += size;
      } else if (size > this.#request.smallBytesMax) {
        this.#leaveLarge(group, name, source.stat, target);
      } else {
        this.#pending.prepareFlush(target);
        const part = partNameIn(group, name, this.#request.tag);
        const ends = { shown, shownTarget: this.#shown(this.#request.target, path, '') };
        const places = { part: inFolder(target, part), folder: String(inFolder(target, '')), replaces: there };
        const file = { ...ends, ...places, preserve: this.#request.preserve };
        const written = await this.#writer.write(file, source);
        this.#note(path, written.notKept);
        const sourceVersion = this.#versions.source(written.source, folder);
        const targetVersion = this.#versions.target(written.target, target);
        const finished = { path, size, sourceVersion, targetVersion, digests: written.digests };
        this.#pending.add({
          finished,
          folder: target,
          name: targetName,
          part,
          replaces: there !== undefined,
          written: written.target,
        });
      }
    } finally {
      this.#files.closeSync(opened.fd);
    }
  }

  #leaveLarge({ files: _, links: __, ...group }: FileGroup, name: string, stat: BigIntStats, target: Step): void {
    const about = { size: Number(stat.size), changedNs: String(stat.ctimeNs) };
    this.#outcome.large.push({ group, name, ...about, targetStrength: this.#versions.strength(target) });
  }

  /** Finished by an earlier run, and neither end has changed since. */
  async #isFinished(
    group: FileGroup,
    name: string,
    source: { folder: Step; from: PathBytes },
    target: { folder: Step; from: PathBytes },
    there: BigIntStats,
  ): Promise<boolean> {
    const path = pathIn(group, name);
    if (!this.#host.knows(path)) return false;
    const stat = this.#files.lstat(source.from);
    if (!stat?.isFile()) return false;
    const sourceVersion = this.#versions.source(stat, source.folder);
    const versions = [sourceVersion, this.#versions.target(there, target.folder)] as const;
    const known = this.#host.look(path, ...versions);
    if (known === 'other') return false;
    const { dryRun } = this.#request;
    if (known === 'unsure' && !dryRun) {
      const named = { path: source.from, shown: this.#shown(group.source, group.sourceFolder, name) };
      const finished = { path: target.from, shown: this.#shown(this.#request.target, path, '') };
      if (!(await sameFiles(this.#files, named, finished, this.#host))) return false;
      this.#host.sure(path, ...versions);
    }
    this.#host.markSeen(path);
    this.#outcome.skipped++;
    this.#outcome.bytesSkipped += Number(stat.size);
    if (dryRun) this.#outcome.planned.push({ path, action: 'skip', size: Number(stat.size) });
    return true;
  }

  #assertReplaceable(path: string, there: BigIntStats): void {
    const { target, overwrite } = this.#request;
    assertReplaceable(this.#shown(target, path, ''), there, { overwrite, known: () => this.#host.knows(path) });
  }

  #link(group: FileGroup, folder: Step, target: Step | undefined, name: string): void {
    const { dryRun, preserve } = this.#request;
    const path = pathIn(group, name);
    const from = inFolder(folder, name);
    const text = readLink(from, this.#shown(group.source, group.sourceFolder, name));
    const to = target && inFolder(target, name);
    const there = to === undefined ? undefined : this.#files.lstat(to);
    if (to !== undefined && there?.isSymbolicLink() && readlinkSync(to, { encoding: 'buffer' }).equals(text)) {
      this.#outcome.skipped++;
      if (dryRun) this.#outcome.planned.push({ path, action: 'skip', size: 0 });
      return;
    }
    if (there) this.#assertReplaceable(path, there);
    if (dryRun || !target || to === undefined) {
      this.#outcome.planned.push({ path, action: 'link', size: 0 });
      this.#outcome.links++;
      return;
    }
    const shown = this.#shown(this.#request.target, path, '');
    const part = inFolder(target, partNameIn(group, name, this.#request.tag));
    const replaces = there !== undefined;
    this.#note(path, makeLink(this.#files, { text, from, to, shown, preserve, part, replaces }));
    this.#outcome.links++;
  }

  #note(path: string, sentences: readonly string[]): void {
    const { notes } = this.#outcome;
    for (const sentence of sentences) if (notes.length < NOTES_MAX) notes.push(`${showPath(path)}: ${sentence}`);
  }

  #settle(): void {
    for (const [{ finished }, refusal] of this.#pending.settle()) {
      if (refusal) this.#fail(finished.path, refusal);
      else this.#outcome.files++;
      if (!refusal) this.#outcome.bytesCopied += finished.size;
    }
    if (this.#request.sync && !this.#request.dryRun && this.#target) this.#pending.syncNames(this.#target.held);
    this.#target?.release(false);
    for (const path of this.#sources.values()) path.release(false);
  }

  /** What is whole gets its name still; what does not is left for the next run to find and remove. */
  #giveUp(): void {
    try {
      this.#settle();
    } catch (thrown) {
      // The first failure is the one that counts and is thrown; this one has the same cause.
      this.#outcome.notes.push(TransferError.from(thrown).message);
    }
  }

  #shown(ref: TreeRef, folder: string, name: string): string {
    return showPath(joinPath(ref.path, joinPath(folder, name)));
  }
}
