/**
 * Writes a manifest: under a hidden name until it is whole and durable, then under its own. It takes the place of an
 * older manifest and of nothing else. Nothing here blocks the thread.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DIGEST_BYTES } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { KiB } from '../core/units.js';
import { realFiles } from '../platform/file-layer.js';
import { hiddenBeside } from '../platform/hidden-name.js';
import { type HeldLock, lockDescriptor } from '../platform/lock.js';
import { whyNotOurs } from '../platform/own-file.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { encodeDigests, encodeFile, encodeTotal, FIRST_LINE, type ManifestFile, whyNoPath } from './manifest.js';

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const MODE = 0o644;
const BUFFER_BYTES = 256 * KiB;
const NOT_SYNCABLE: readonly (string | undefined)[] = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'];

export class ManifestWriter {
  /** Absolute. */
  readonly path: string;
  readonly #hidden: string;
  readonly #handle: FileHandle;
  readonly #lock: HeldLock;
  readonly #sync: boolean;
  readonly #hash = createHash('sha256');
  #lines: string[] = [FIRST_LINE];
  #linesBytes = FIRST_LINE.length;
  #files = 0;
  #bytes = 0;
  #closed = false;

  private constructor(path: string, opened: OpenedHidden, sync: boolean) {
    this.path = path;
    this.#hidden = opened.path;
    this.#handle = opened.handle;
    this.#lock = opened.lock;
    this.#sync = sync;
  }

  /**
   * Begins a manifest that will be called `path`. To be asked early: it finds out whether it can be written at all.
   * @throws TransferError E_TARGET_EXISTS for a file of that name that is no manifest, E_LOCKED, E_TARGET_ACCESS
   */
  static async begin(path: string, { sync }: { readonly sync: boolean }): Promise<ManifestWriter> {
    const whole = resolve(path);
    try {
      await assertReplaceable(whole);
      return new ManifestWriter(whole, await openHidden(hiddenBeside(whole, '.blockferry-manifest')), sync);
    } catch (thrown) {
      throw manifestError(path, thrown);
    }
  }

  /** Adds a file and the digests of all its chunks, one behind the other; one call at a time. @throws TransferError */
  async file(file: ManifestFile, digests: Uint8Array): Promise<void> {
    const wrong = whyNoPath(file.path);
    if (wrong !== undefined) throw new TransferError('E_BUG', `a manifest was given a path that ${wrong}`);
    if (digests.length !== Math.ceil(file.size / file.chunkBytes) * DIGEST_BYTES[file.algorithm]) {
      throw new TransferError('E_BUG', `a manifest was given ${digests.length} bytes of digests for ${file.path}`);
    }
    this.#files++;
    this.#bytes += file.size;
    this.#add(encodeFile(file));
    for (const line of encodeDigests(digests, file.algorithm)) {
      this.#add(line);
      if (this.#linesBytes >= BUFFER_BYTES) await this.#write();
    }
    if (this.#linesBytes >= BUFFER_BYTES) await this.#write();
  }

  /** Ends the list and makes it durable, still under the hidden name. @throws TransferError */
  async finish(): Promise<void> {
    await this.#write();
    const total = { files: this.#files, bytes: this.#bytes, sha256: this.#hash.copy().digest('hex') };
    this.#add(encodeTotal(total));
    await this.#write();
    if (this.#sync) await this.#handle.sync().catch((thrown) => this.#fail(thrown));
  }

  /** Gives the finished manifest its name. @throws TransferError */
  async publish(): Promise<void> {
    try {
      await assertReplaceable(this.path);
      await rename(encodePath(this.#hidden), encodePath(this.path));
      if (this.#sync) await syncFolderOf(this.path);
    } catch (thrown) {
      throw manifestError(this.path, thrown);
    }
    await this.#close();
  }

  /** Removes what has not got its name, for a copy that does not come to its end; harmless afterwards. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    try {
      await unlink(encodePath(this.#hidden));
    } catch (thrown) {
      throw manifestError(this.path, thrown);
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    this.#closed = true;
    this.#lock.release();
    await this.#handle.close();
  }

  #add(line: string): void {
    this.#lines.push(line);
    this.#linesBytes += line.length;
  }

  async #write(): Promise<void> {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    this.#linesBytes = 0;
    this.#hash.update(bytes);
    try {
      for (let done = 0; done < bytes.length; ) done += (await this.#handle.write(bytes, done)).bytesWritten;
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): never {
    throw manifestError(this.path, thrown);
  }
}

interface OpenedHidden {
  readonly path: string;
  readonly handle: FileHandle;
  readonly lock: HeldLock;
}

/** What a crash left is taken over; what another run writes right now is not. */
async function openHidden(path: string): Promise<OpenedHidden> {
  for (;;) {
    const handle = await open(encodePath(path), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, MODE);
    try {
      const wrong = whyNotOurs(realFiles, dirname(path), await handle.stat({ bigint: true }));
      if (wrong !== undefined) throw unsafe(path, wrong);
      const lock = await lockDescriptor(handle.fd);
      if (lock === 'busy') throw busy(path);
      const held = await handle.stat({ bigint: true });
      const named = await lstat(encodePath(path), { bigint: true }).catch(absent);
      if (named?.dev === held.dev && named.ino === held.ino) {
        await handle.truncate(0);
        return { path, handle, lock };
      }
      lock.release();
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    // Its last holder gave it its name between our open and our lock.
    await handle.close();
  }
}

/** A manifest takes the place of an older one, and of nothing else. */
async function assertReplaceable(path: string): Promise<void> {
  const there = await lstat(encodePath(path)).catch(absent);
  if (there === undefined || (there.isFile() && (await isManifest(path)))) return;
  throw new TransferError('E_TARGET_EXISTS', `${showPath(path)} exists already, and is no manifest`, {
    hint: 'It was left as it is: only an older manifest is replaced. Choose another name for the manifest.',
  });
}

async function isManifest(path: string): Promise<boolean> {
  const handle = await open(encodePath(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FIRST_LINE.length), 0, FIRST_LINE.length, 0);
    return buffer.subarray(0, bytesRead).toString() === FIRST_LINE;
  } finally {
    await handle.close();
  }
}

function absent(thrown: unknown): undefined {
  if (errnoOf(thrown) !== 'ENOENT') throw thrown;
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(encodePath(dirname(path)), O_RDONLY | O_DIRECTORY);
  try {
    await folder.sync();
  } catch (thrown) {
    if (!NOT_SYNCABLE.includes(errnoOf(thrown))) throw thrown;
  } finally {
    await folder.close();
  }
}

function busy(path: string): TransferError {
  return new TransferError('E_LOCKED', `${showPath(path)}: another process writes this manifest`, {
    hint: 'Wait for it, or choose another name for the manifest.',
  });
}

function unsafe(path: string, what: string): TransferError {
  return new TransferError('E_PART_UNSAFE', `${showPath(path)} ${what}; Blockferry made no such file`, {
    hint: 'See who put it there, then remove it. Nothing was changed.',
  });
}

function manifestError(path: string, thrown: unknown): TransferError {
  const errno = errnoOf(thrown);
  if (thrown instanceof TransferError || errno === undefined) return TransferError.from(thrown);
  const what = `the manifest ${showPath(path)} cannot be written (${errno})`;
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new TransferError('E_NO_SPACE', what, {
      hint: 'Free some space and run the same command again; finished chunks are kept.',
      cause: thrown,
    });
  }
  if (errno === 'ELOOP') return unsafe(path, 'has a symbolic link where its hidden name belongs');
  const denied = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR', 'ENXIO'].includes(errno);
  return new TransferError(denied ? 'E_TARGET_ACCESS' : 'E_TARGET_WRITE', what, {
    hint: 'Its folder must exist and be writable. Finished chunks are kept; the same command goes on from there.',
    cause: thrown,
  });
}
