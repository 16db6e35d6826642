/**
 * The journal as a file: created or opened under a lock, appended to, dropped. It is never rewritten in place: a torn
 * tail is cut off before the first append, and a damaged line in the middle loses only itself.
 */
import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { systemClock } from '../core/clock.js';
import { DIGEST_BYTES } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { type FileLayer, writeFully } from '../platform/file-layer.js';
import { type HeldLock, lockDescriptor } from '../platform/lock.js';
import { whyNotOurs } from '../platform/own-file.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import {
  encodeRecord,
  type JournalContent,
  type JournalHeader,
  type JournalRecord,
  type JournalRef,
  type Journals,
  type OpenedJournal,
} from './journal.js';
import { FIRST_LINE, readJournal } from './read-journal.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
/** CRC, words, chunk number and newline. */
const RECORD_BYTES_USUAL = 28;
const RESERVE_BYTES_MIN = 16 * 1024;
const RESERVE_BYTES_MAX = 16 * 1024 * 1024;

/** Locks that need a handle live on the thread that took them, and end with it at the latest. */
const heldLocks = new Map<number, HeldLock>();

export class FileJournals implements Journals {
  readonly #files: FileLayer;

  constructor(files: FileLayer) {
    this.#files = files;
  }

  async open(path: string, forget: boolean): Promise<OpenedJournal> {
    for (;;) {
      const { fd, created } = this.#openOrCreate(path);
      try {
        const lock = await lockDescriptor(fd);
        if (lock === 'busy') throw this.#lockedError(path, fd);
        heldLocks.set(fd, lock);
        if (this.#isStill(path, fd)) {
          const content = forget ? undefined : readJournal(this.#files, path, fd);
          return { ref: { path, fd }, created, ...(content && { content }) };
        }
      } catch (thrown) {
        this.close({ path, fd });
        throw thrown;
      }
      // Its last holder finished and removed it between our open and our lock.
      this.close({ path, fd });
    }
  }

  peek(path: string): JournalContent | undefined {
    if (!this.#files.lstat(encodePath(path))) return undefined;
    const fd = this.#openExisting(path, O_RDONLY);
    try {
      return readJournal(this.#files, path, fd);
    } finally {
      this.#files.closeSync(fd);
    }
  }

  begin(ref: JournalRef, header: JournalHeader, sync: boolean): number {
    if (this.#files.fstat(ref.fd).size > 0n) {
      this.#files.ftruncateSync(ref.fd, 0);
      // Or a power cut could leave the new header in front of old claims, which speak of another source.
      this.#files.fdatasyncSync(ref.fd);
    }
    this.#reserve(ref, 0, header);
    const text = `${FIRST_LINE}${encodeRecord({ type: 'header', header })}`;
    const bytes = this.append(ref, 0, text + openedLine(sync), sync);
    if (sync) this.#files.syncFolder(encodePath(dirname(ref.path)));
    return bytes;
  }

  takeUp(ref: JournalRef, { goodBytes, header }: Pick<JournalContent, 'goodBytes' | 'header'>, sync: boolean): number {
    this.#files.ftruncateSync(ref.fd, goodBytes);
    this.#reserve(ref, goodBytes, header);
    return this.append(ref, goodBytes, openedLine(sync), sync);
  }

  /** Where this cannot be done, a full disk may cost the work of one checkpoint, and nothing else. */
  #reserve(ref: JournalRef, offset: number, { size, chunkBytes, algorithm }: JournalHeader): void {
    const records = Math.ceil(size / chunkBytes) * (RECORD_BYTES_USUAL + DIGEST_BYTES[algorithm] * 2);
    this.#files.reserveSpace(ref.fd, { offset, length: Math.min(RESERVE_BYTES_MAX, RESERVE_BYTES_MIN + records) });
  }

  append(ref: JournalRef, position: number, lines: string, sync: boolean): number {
    const bytes = Buffer.from(lines);
    try {
      writeFully(this.#files, ref.fd, bytes, position);
      if (sync) this.#files.fdatasyncSync(ref.fd);
      return position + bytes.length;
    } catch (thrown) {
      this.#files.ftruncateSync(ref.fd, position);
      throw this.#writeError(ref.path, thrown);
    }
  }

  drop(ref: JournalRef, sync: boolean): void {
    if (this.#isStill(ref.path, ref.fd)) this.#files.unlinkSync(encodePath(ref.path));
    if (sync) this.#files.syncFolder(encodePath(dirname(ref.path)));
    this.close(ref);
  }

  close(ref: JournalRef): void {
    heldLocks.get(ref.fd)?.release();
    heldLocks.delete(ref.fd);
    this.#files.closeSync(ref.fd);
  }

  #openOrCreate(path: string): { readonly fd: number; readonly created: boolean } {
    const bytes = encodePath(path);
    for (;;) {
      try {
        return { fd: this.#files.openSync(bytes, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), created: true };
      } catch (thrown) {
        if (errnoOf(thrown) !== 'EEXIST') throw this.#writeError(path, thrown);
      }
      try {
        return { fd: this.#openExisting(path, O_RDWR), created: false };
      } catch (thrown) {
        if (errnoOf(thrown) !== 'ENOENT') throw thrown;
      }
    }
  }

  /** O_NONBLOCK, so that a pipe that was planted there does not hold us up. */
  #openExisting(path: string, access: number): number {
    try {
      const fd = this.#files.openSync(encodePath(path), access | O_NOFOLLOW | O_NONBLOCK);
      this.#assertOurs(path, fd);
      return fd;
    } catch (thrown) {
      const code = errnoOf(thrown);
      if (code === 'ELOOP') throw unsafe(path, 'is a symbolic link');
      if (code === 'EISDIR' || code === 'ENXIO') throw unsafe(path, 'is not a regular file');
      throw thrown instanceof TransferError || code === 'ENOENT' ? thrown : this.#writeError(path, thrown);
    }
  }

  #assertOurs(path: string, fd: number): void {
    const wrong = whyNotOurs(this.#files, dirname(path), this.#files.fstat(fd));
    if (wrong === undefined) return;
    this.#files.closeSync(fd);
    throw unsafe(path, wrong);
  }

  #isStill(path: string, fd: number): boolean {
    const named = this.#files.lstat(encodePath(path));
    const held = this.#files.fstat(fd);
    return named !== undefined && named.dev === held.dev && named.ino === held.ino;
  }

  #lockedError(path: string, fd: number): TransferError {
    let holder: JournalRecord | undefined;
    try {
      holder = readJournal(this.#files, path, fd)?.news.opened;
    } catch (thrown) {
      if (!(thrown instanceof TransferError)) throw thrown;
    }
    const who = holder?.type === 'opened' ? `process ${holder.pid} on ${holder.host}` : 'another process';
    return new TransferError('E_LOCKED', `the partial copy of this target is in use by ${who}`, {
      hint: 'Wait for it or stop it; what it has copied is kept, and the same command then goes on from there.',
    });
  }

  #writeError(path: string, thrown: unknown): TransferError {
    const code = errnoOf(thrown);
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      return new TransferError('E_NO_SPACE', `no space for the journal ${showPath(path)}`, {
        hint: 'Free some space and run the same command again; finished chunks are kept.',
        cause: thrown,
      });
    }
    if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || code === 'ENOENT' || code === 'ENAMETOOLONG') {
      return new TransferError('E_TARGET_ACCESS', `cannot create the journal ${showPath(path)} (${code})`, {
        hint: 'The folder of the target must exist and be writable. Nothing was changed.',
        cause: thrown,
      });
    }
    return new TransferError('E_JOURNAL_WRITE', `cannot write the journal ${showPath(path)}`, {
      hint: 'Finished chunks stay; run the same command again once the storage is well.',
      cause: thrown,
    });
  }
}

function openedLine(sync: boolean): string {
  return encodeRecord({ type: 'opened', pid: process.pid, host: hostname(), at: systemClock.wallMs(), sync });
}

function unsafe(path: string, what: string): TransferError {
  return new TransferError(
    'E_PART_UNSAFE',
    `${showPath(path)} ${what}; Blockferry made no such file and won't write to it`,
    {
      hint: 'See who put it there, then remove it. Nothing was changed.',
    },
  );
}
