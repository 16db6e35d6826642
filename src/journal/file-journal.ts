/**
 * The journal as a file: created or opened under a lock, appended to, dropped. It is never rewritten in place: a torn
 * tail is cut off before the first append, and a damaged line in the middle loses only itself.
 */
import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { CHUNK_BYTES_MAX, CHUNK_COUNT_MAX, ChunkGrid } from '../core/chunk.js';
import { systemClock } from '../core/clock.js';
import { DIGEST_BYTES } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { type FileLayer, readFully, writeFully } from '../platform/file-layer.js';
import { type HeldLock, lockDescriptor } from '../platform/lock.js';
import { whyNotOurs } from '../platform/own-file.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import {
  applyRecord,
  decodeRecord,
  emptyClaims,
  encodeRecord,
  JOURNAL_FORMAT,
  JOURNAL_MAGIC,
  type JournalContent,
  type JournalHeader,
  type JournalNews,
  type JournalRecord,
  type JournalRef,
  type Journals,
  type OpenedJournal,
  RECORD_BYTES_MAX,
} from './journal.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;
const READ_BYTES = 1024 * 1024;
const DISCARD_HINT =
  'Run again with --discard to throw the partial copy away and start afresh, or choose another target.';

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
          const content = forget ? undefined : this.#read(path, fd);
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
    const fd = this.#files.openSync(encodePath(path), O_RDONLY | O_NOFOLLOW);
    try {
      return this.#read(path, fd);
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
    const text = `${JOURNAL_MAGIC} ${JOURNAL_FORMAT}\n${encodeRecord({ type: 'header', header })}`;
    const bytes = this.append(ref, 0, text + openedLine(sync), sync);
    if (sync) this.#files.syncFolder(encodePath(dirname(ref.path)));
    return bytes;
  }

  takeUp(ref: JournalRef, goodBytes: number, sync: boolean): number {
    this.#files.ftruncateSync(ref.fd, goodBytes);
    return this.append(ref, goodBytes, openedLine(sync), sync);
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
        const fd = this.#files.openSync(bytes, O_RDWR | O_NOFOLLOW);
        this.#assertOurs(path, fd);
        return { fd, created: false };
      } catch (thrown) {
        if (errnoOf(thrown) === 'ENOENT') continue;
        if (errnoOf(thrown) === 'ELOOP') throw unsafe(path, 'is a symbolic link');
        throw thrown instanceof TransferError ? thrown : this.#writeError(path, thrown);
      }
    }
  }

  #assertOurs(path: string, fd: number): void {
    const wrong = whyNotOurs(this.#files.fstat(fd));
    if (wrong === undefined) return;
    this.#files.closeSync(fd);
    throw unsafe(path, wrong);
  }

  #isStill(path: string, fd: number): boolean {
    const named = this.#files.lstat(encodePath(path));
    const held = this.#files.fstat(fd);
    return named !== undefined && named.dev === held.dev && named.ino === held.ino;
  }

  #read(path: string, fd: number): JournalContent | undefined {
    const lines = this.#lines(fd);
    const first = lines.next();
    if (first.done || first.value.text.startsWith('\0')) return undefined;
    const format = new RegExp(`^${JOURNAL_MAGIC} (\\d+)$`).exec(first.value.text)?.[1];
    if (format === undefined) throw damaged(path, 'is not a Blockferry journal');
    if (Number(format) !== JOURNAL_FORMAT) {
      throw new TransferError(
        'E_JOURNAL_VERSION',
        `journal ${showPath(path)} has format ${format}; this version reads 1`,
        {
          hint: 'Finish the copy with the Blockferry that began it; nothing was changed. --discard starts afresh.',
        },
      );
    }
    const second = lines.next();
    // A power cut tore the header. It is durable before there is a part, so nothing can have been claimed.
    if (second.done) return undefined;
    const header = tryDecode(second.value.text);
    if (header?.type !== 'header' || !isSane(header.header)) throw damaged(path, 'has no readable header');
    return collect(header.header, lines, second.value.end);
  }

  /** The whole lines of the file; what follows the last newline is a torn tail. */
  *#lines(fd: number): Generator<{ text: string; end: number }> {
    const block = Buffer.alloc(READ_BYTES);
    let rest = Buffer.alloc(0);
    for (let position = 0, end = 0; ; ) {
      const got = readFully(this.#files, fd, block, position);
      position += got;
      const bytes = Buffer.concat([rest, block.subarray(0, got)]);
      let from = 0;
      for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
        end += at + 1 - from;
        yield { text: bytes.toString('utf8', from, Math.min(at, from + RECORD_BYTES_MAX)), end };
        from = at + 1;
      }
      rest = bytes.subarray(from);
      if (got < block.length) return;
      // An endless line is damage; only its length matters.
      if (rest.length > 64 * READ_BYTES) return;
    }
  }

  #lockedError(path: string, fd: number): TransferError {
    let holder: JournalRecord | undefined;
    try {
      holder = this.#read(path, fd)?.news.opened;
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
      return new TransferError('E_TARGET_ACCESS', `cannot create the journal ${showPath(path)} beside the target`, {
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

function collect(
  given: JournalHeader,
  lines: Generator<{ text: string; end: number }>,
  goodFrom: number,
): JournalContent {
  // It is shown to people, and anybody may have written it.
  const header = {
    ...given,
    sourceName: showPath(String(given.sourceName)),
    targetName: showPath(String(given.targetName)),
  };
  const claims = emptyClaims(new ChunkGrid(header.size, header.chunkBytes), header.algorithm);
  const news: JournalNews = { damagedRecords: 0, unsynced: false };
  let goodBytes = goodFrom;
  for (const { text, end } of lines) {
    const record = tryDecode(text);
    if (!record || !applyRecord(record, claims, news)) news.damagedRecords++;
    goodBytes = end;
  }
  return { header, claims, news, goodBytes };
}

/** A header comes from a file that anybody may have written: it must not make us allocate without bound. */
function isSane(header: JournalHeader): boolean {
  if (typeof header !== 'object' || header === null) return false;
  const { size, chunkBytes, algorithm, sourceVersion } = header;
  const numbers = Number.isSafeInteger(size) && size >= 0 && Number.isSafeInteger(chunkBytes) && chunkBytes > 0;
  const bounded = chunkBytes <= CHUNK_BYTES_MAX && size / chunkBytes <= CHUNK_COUNT_MAX;
  return numbers && bounded && Object.hasOwn(DIGEST_BYTES, algorithm) && typeof sourceVersion?.value === 'string';
}

function tryDecode(text: string): JournalRecord | undefined {
  try {
    return decodeRecord(text);
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof URIError) return undefined;
    throw thrown;
  }
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

function damaged(path: string, what: string): TransferError {
  return new TransferError(
    'E_JOURNAL_DAMAGED',
    `journal ${showPath(path)} ${what}; the partial copy beside it was kept`,
    {
      hint: DISCARD_HINT,
    },
  );
}
