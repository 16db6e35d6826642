/**
 * What a merge must remember beyond a crash: a small file `.<child>.blockferry-merge` beside the child, there from
 * before the first change until after the last. One checked line for each step; a torn last line never happened.
 */
import { constants, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errnoOf, TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import { type FileLayer, readFully, writeFully } from '../platform/file-layer.js';
import { hiddenBeside } from '../platform/hidden-name.js';
import { whyNotOurs } from '../platform/own-file.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import type { DiskFormat } from './image.js';

const FORMAT = 1;
/** Of the whole file: a line for each batch of a disk of many TiB takes less. */
const RECORD_BYTES_MAX = 16 * MiB;
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;

/** Paths are relative to the folder of the child, so that the whole folder may be moved. */
export interface MergeHeader {
  /** Its name; that of the record may be a shorter one. */
  readonly child: string;
  readonly childFormat: DiskFormat;
  readonly parent: string;
  readonly parentFormat: DiskFormat;
  /** What the parent was known by before. */
  readonly parentIdentity?: string;
  /** Images that build on the child, and will build on the parent. */
  readonly grandchildren: readonly string[];
  readonly keep: boolean;
}

type Line =
  | ({ readonly type: 'merge'; readonly format: number } & MergeHeader)
  /** All guest bytes before this one are in the parent, durable. */
  | { readonly type: 'to'; readonly offset: number }
  /** All are; what the parent will be known by, if that changes. */
  | { readonly type: 'finishing'; readonly identity?: string }
  /** The parent is finished; what is left is to re-point and to tidy up, unless the child has another stamp by then. */
  | { readonly type: 'merged'; readonly child: string };

/** How far a merge came. */
export interface MergeProgress {
  readonly header: MergeHeader;
  readonly to: number;
  /** What the parent may be known by: before, and after each try to finish it. None: its format has no identities. */
  readonly identities: readonly string[];
  /** The stamp of the child, all of which is in the parent. Absent: not all of it is. */
  readonly mergedAs?: string;
}

export interface BegunMerge {
  readonly record: MergeRecord;
  readonly progress: MergeProgress;
}

export const MERGE_SUFFIX = '.blockferry-merge';

export function mergeRecordPath(child: string): string {
  return hiddenBeside(child, MERGE_SUFFIX);
}

export class MergeRecord {
  readonly path: string;
  readonly #files: FileLayer;
  readonly #fd: number;
  #end: number;

  private constructor(files: FileLayer, path: string, fd: number, end: number) {
    this.#files = files;
    this.path = path;
    this.#fd = fd;
    this.#end = end;
  }

  /** Of a merge that was begun; undefined: there is none, or nothing was changed yet. @throws TransferError */
  static open(files: FileLayer, child: string): BegunMerge | undefined {
    const path = mergeRecordPath(child);
    const fd = openOurs(files, path, O_RDWR);
    if (fd === undefined) return undefined;
    try {
      const text = readText(files, path, fd);
      const { progress, end } = progressOf(text, path);
      if (progress) return { record: new MergeRecord(files, path, fd, end), progress };
      // Without its first line nothing was changed.
      files.unlinkSync(encodePath(path));
      files.closeSync(fd);
      return undefined;
    } catch (thrown) {
      files.closeSync(fd);
      throw thrown;
    }
  }

  /** Durable, name and all, when it returns. @throws TransferError E_JOURNAL_WRITE */
  static begin(files: FileLayer, child: string, header: MergeHeader): BegunMerge {
    const path = mergeRecordPath(child);
    const record = writing(path, () => {
      const fd = files.openSync(encodePath(path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      const record = new MergeRecord(files, path, fd, 0);
      record.#append({ type: 'merge', format: FORMAT, ...header });
      files.syncFolder(encodePath(dirname(path)));
      return record;
    });
    return { record, progress: begunProgress(header) };
  }

  reached(offset: number): void {
    this.#append({ type: 'to', offset });
  }

  finishing(identity: string | undefined): void {
    this.#append({ type: 'finishing', ...(identity !== undefined && { identity }) });
  }

  merged(child: string): void {
    this.#append({ type: 'merged', child });
  }

  /** The last act of a merge. */
  remove(): void {
    writing(this.path, () => {
      this.#files.unlinkSync(encodePath(this.path));
      this.#files.syncFolder(encodePath(dirname(this.path)));
    });
  }

  close(): void {
    this.#files.closeSync(this.#fd);
  }

  #append(line: Line): void {
    const bytes = Buffer.from(encodeLine(line));
    writing(this.path, () => {
      // What a crash left behind the last whole line is written over; its rest would make the new line a torn one.
      this.#files.ftruncateSync(this.#fd, this.#end);
      writeFully(this.#files, this.#fd, bytes, this.#end);
      this.#files.fdatasyncSync(this.#fd);
    });
    this.#end += bytes.length;
  }
}

/** What stands of a merge beside this image, without taking it up. Somebody else's record counts as none. */
export function peekMerge(files: FileLayer, child: string): MergeProgress | undefined {
  return peekRecord(files, mergeRecordPath(child));
}

/** All merges of images in this folder that were begun and not finished. */
export function mergesIn(files: FileLayer, folder: string): { readonly child: string; readonly header: MergeHeader }[] {
  const names = readdirSync(encodePath(folder), { encoding: 'buffer' }).map(decodePath);
  return names
    .filter((name) => name.endsWith(MERGE_SUFFIX))
    .map((name) => peekRecord(files, join(folder, name)))
    .filter((progress) => progress !== undefined)
    .map(({ header }) => ({ child: join(folder, header.child), header }));
}

function peekRecord(files: FileLayer, path: string): MergeProgress | undefined {
  let fd: number | undefined;
  try {
    fd = openOurs(files, path, O_RDONLY);
    return fd === undefined ? undefined : progressOf(readText(files, path, fd), path).progress;
  } catch (thrown) {
    if (thrown instanceof TransferError) return undefined;
    throw thrown;
  } finally {
    if (fd !== undefined) files.closeSync(fd);
  }
}

export function fromHere(child: string, relative: string): string {
  return join(dirname(child), relative);
}

/** It names files that will be changed, so it must be one that we made. */
function openOurs(files: FileLayer, path: string, access: number): number | undefined {
  let fd: number;
  try {
    fd = files.openSync(encodePath(path), access | O_NOFOLLOW);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    if (errno === undefined) throw thrown;
    throw unsafe(path, `cannot be opened (${errno})`);
  }
  const why = whyNotOurs(files, dirname(path), files.fstat(fd));
  if (why === undefined) return fd;
  files.closeSync(fd);
  throw unsafe(path, why);
}

function unsafe(path: string, why: string): TransferError {
  return new TransferError('E_PART_UNSAFE', `${showPath(path)} ${why}`, {
    hint: 'A record of a merge belongs there. See who put this file there, then remove it. Nothing was changed.',
  });
}

function readText(files: FileLayer, path: string, fd: number): string {
  const { size } = files.fstat(fd);
  if (size > RECORD_BYTES_MAX) throw damaged(path);
  const bytes = Buffer.alloc(Number(size));
  return bytes.toString('utf8', 0, readFully(files, fd, bytes, 0));
}

function progressOf(text: string, path: string): { readonly progress?: MergeProgress; readonly end: number } {
  let progress: MergeProgress | undefined;
  let end = 0;
  for (const piece of text.split('\n').slice(0, -1)) {
    const line = decodeLine(piece);
    if (!line) break;
    progress = applied(progress, line, path);
    end += Buffer.byteLength(piece) + 1;
  }
  // A torn first line has no end; one that has an end and is wrong was whole once.
  if (end === 0 && text.includes('\n')) throw damaged(path);
  return { ...(progress && { progress }), end };
}

function applied(before: MergeProgress | undefined, line: Line, path: string): MergeProgress {
  if (line.type === 'merge') {
    const { type, format, ...header } = line;
    if (format === FORMAT) return begunProgress(header);
    throw new TransferError(
      'E_JOURNAL_VERSION',
      `${showPath(path)} has format ${format}; this version reads ${FORMAT}`,
      {
        hint: 'Finish the merge with the Blockferry that began it; nothing was changed.',
      },
    );
  }
  if (!before) throw damaged(path);
  if (line.type === 'to') return { ...before, to: line.offset };
  if (line.type === 'merged') return { ...before, mergedAs: line.child };
  return line.identity === undefined ? before : { ...before, identities: [...before.identities, line.identity] };
}

function begunProgress(header: MergeHeader): MergeProgress {
  const { parentIdentity } = header;
  return { header, to: 0, identities: parentIdentity === undefined ? [] : [parentIdentity] };
}

function encodeLine({ type, ...fields }: Line): string {
  const body = `${type} ${JSON.stringify(fields)}`;
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

/** Undefined: a damaged or torn line. */
function decodeLine(text: string): Line | undefined {
  const body = text.slice(9);
  if (text[8] !== ' ' || crc32(body) !== Number.parseInt(text.slice(0, 8), 16)) return undefined;
  const space = body.indexOf(' ');
  return { type: body.slice(0, space), ...JSON.parse(body.slice(space + 1)) } as Line;
}

function damaged(path: string): TransferError {
  return new TransferError('E_JOURNAL_DAMAGED', `${showPath(path)} is no record of a merge that can be read`, {
    hint: 'Nothing was changed. If you are sure that no merge was under way, remove that file.',
  });
}

function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (thrown instanceof TransferError || errno === undefined) throw thrown;
    throw new TransferError(
      'E_JOURNAL_WRITE',
      `${showPath(path)}: the record of the merge cannot be written (${errno})`,
      {
        hint: 'The disk reads as before. Mend the cause, then run the same command again.',
        cause: thrown,
      },
    );
  }
}
