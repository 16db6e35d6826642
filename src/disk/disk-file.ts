/**
 * A container on this machine, open for reading and writing at once. Everything is synchronous, for a worker; what goes
 * wrong is told in the words of disks, and a failed flush is never tried again: Linux would call the lost pages clean.
 */
import { constants } from 'node:fs';
import type { ByteRange } from '../core/chunk.js';
import type { Extent } from '../core/endpoint.js';
import { type ErrorCode, errnoOf, TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import { type FileLayer, readFully, writeFully } from '../platform/file-layer.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { assertInside, diskError } from './disk-bytes.js';
import type { DiskFile } from './image-writer.js';

/** A pipe with the name of an image is not waited for. */
const { O_RDONLY, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
const FLAGS = { read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK, write: O_RDWR | O_NOFOLLOW | O_NONBLOCK } as const;

/** Smaller runs of zeroes are written, so that a file is not cut into a thousand pieces. */
const HOLE_BYTES_MIN = MiB;
const ZEROES = new Uint8Array(MiB);

export class OpenDiskFile implements DiskFile {
  readonly name: string;
  readonly path: string;
  readonly fd: number;
  readonly #files: FileLayer;
  /** Absent: not known, or not any more. */
  #size: number | undefined;

  private constructor(files: FileLayer, path: string, fd: number) {
    this.#files = files;
    this.path = path;
    this.name = showPath(path);
    this.fd = fd;
  }

  /** A regular file, not through a link. @throws TransferError E_TARGET_ACCESS, E_TARGET_KIND, E_SOURCE_MISSING */
  static open(files: FileLayer, path: string, access: 'read' | 'write'): OpenDiskFile {
    let fd: number;
    try {
      fd = files.openSync(encodePath(path), FLAGS[access]);
    } catch (thrown) {
      throw openError(path, access, thrown);
    }
    if (files.fstat(fd).isFile()) return new OpenDiskFile(files, path, fd);
    files.closeSync(fd);
    throw new TransferError('E_TARGET_KIND', `${showPath(path)} is no regular file`, {
      hint: 'Images are changed in place in files only.',
    });
  }

  /** Asked for at every step; nobody else changes it, and where somebody did, a read would come short. */
  get size(): number {
    this.#size ??= Number(this.#files.fstat(this.fd).size);
    return this.#size;
  }

  get modifiedAtMs(): number {
    return Number(this.#files.fstat(this.fd).mtimeMs);
  }

  /** Another one once somebody has written to the file. */
  get stamp(): string {
    const { size, mtimeNs } = this.#files.fstat(this.fd);
    return `${size} ${mtimeNs}`;
  }

  async read(range: ByteRange, what: string): Promise<Buffer> {
    return this.readNow(range, what);
  }

  readNow(range: ByteRange, what: string): Buffer {
    assertInside(range, what, this);
    const into = Buffer.alloc(range.length);
    this.readInto(into, range.offset, what);
    return into;
  }

  /** Fills all of the buffer. */
  readInto(into: Uint8Array, at: number, what: string): void {
    const got = this.#attempt('E_SOURCE_READ', 'cannot be read', at, () => readFully(this.#files, this.fd, into, at));
    if (got < into.length) throw diskError(this.name, what, at, `${into.length} bytes`, `an end after ${got}`);
  }

  /** A property, so that it may be handed on alone, as those of other containers. */
  readonly extents = (range: ByteRange): Iterable<Extent> => this.#files.extentsOf(this.fd, range);

  write(at: number, bytes: Uint8Array): void {
    const size = Math.max(this.size, at + bytes.length);
    this.#size = undefined;
    this.#attempt('E_TARGET_WRITE', 'cannot be written', at, () => writeFully(this.#files, this.fd, bytes, at));
    this.#size = size;
  }

  /** Makes the bytes read as zero; inside the file with a hole, where that can be and is worth it. */
  zero({ offset, length }: ByteRange): void {
    const hole = length >= HOLE_BYTES_MIN && offset + length <= this.size;
    const punch = (): boolean => this.#files.punchHole(this.fd, { offset, length });
    if (hole && this.#attempt('E_TARGET_WRITE', 'cannot be written', offset, punch)) return;
    for (let at = 0; at < length; at += ZEROES.length) {
      this.write(offset + at, ZEROES.subarray(0, Math.min(ZEROES.length, length - at)));
    }
  }

  flush(): void {
    this.#attempt('E_FLUSH', 'cannot be made durable', undefined, () => this.#files.fdatasyncSync(this.fd));
  }

  setSize(bytes: number): void {
    this.#size = undefined;
    this.#attempt('E_TARGET_WRITE', 'cannot get another size', bytes, () => this.#files.ftruncateSync(this.fd, bytes));
  }

  close(): void {
    this.#files.closeSync(this.fd);
  }

  #attempt<T>(code: ErrorCode, what: string, at: number | undefined, work: () => T): T {
    try {
      return work();
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (thrown instanceof TransferError || errno === undefined) throw thrown;
      const where = at === undefined ? '' : ` at byte ${at}`;
      const full = errno === 'ENOSPC' || errno === 'EDQUOT';
      const message = `${this.name}: ${full ? 'no space left' : what}${where} (${errno})`;
      throw new TransferError(full ? 'E_NO_SPACE' : code, message, {
        hint: [
          `${full ? 'Free some space' : 'See the kernel log for the device'}, then run the same command again.`,
          'Until then the images are kept, and the disk reads as before.',
        ].join('\n'),
        cause: thrown,
        ...(at !== undefined && { offset: at }),
      });
    }
  }
}

const OPEN_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'E_SOURCE_MISSING',
  ENOTDIR: 'E_SOURCE_MISSING',
  EISDIR: 'E_TARGET_KIND',
  ELOOP: 'E_TARGET_KIND',
};

function openError(path: string, access: 'read' | 'write', thrown: unknown): TransferError {
  const errno = errnoOf(thrown);
  if (errno === undefined) return TransferError.from(thrown);
  const code = OPEN_CODES[errno] ?? 'E_TARGET_ACCESS';
  const what =
    code === 'E_SOURCE_MISSING'
      ? 'no such file'
      : access === 'write'
        ? 'cannot be opened for writing'
        : 'cannot be opened';
  return new TransferError(code, `${showPath(path)}: ${what} (${errno})`, {
    hint: 'Nothing was changed. Check the path and its permissions.',
    cause: thrown,
  });
}
