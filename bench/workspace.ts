/**
 * The bench's folder and the files in it: sources that are made once and shared by the cases, targets that live as long
 * as their case. Everything is inside one new folder, and goes with it.
 */
import { execFile } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { constants, createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, rename, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf, TransferError } from '../src/core/errors.js';
import { formatBytes, GiB, MiB, TiB } from '../src/core/units.js';
import { makeTree } from './tree-files.js';

/** 5 TiB, most of it a hole: what a large thin disk looks like. */
export const SPARSE_BYTES = 5 * TiB;
const STRETCHES = 64;
const STATE = 'state';
const BLOCK_BYTES = 4 * MiB;

const run = promisify(execFile);

export interface Stretch {
  readonly offset: number;
  readonly length: number;
}

export class Workspace {
  readonly folder: string;
  readonly #signal: AbortSignal;
  readonly #sources = new Map<string, string>();
  #aside = 0;

  private constructor(folder: string, signal: AbortSignal) {
    this.folder = folder;
    this.#signal = signal;
  }

  /** @throws TransferError E_NO_SPACE when the folder has less than `neededBytes` free */
  static async open(parent: string, neededBytes: number, signal: AbortSignal): Promise<Workspace> {
    const space = await statfs(parent).catch((cause: unknown) => {
      throw new TransferError('E_USAGE', `cannot use the folder ${parent}: ${errnoOf(cause) ?? String(cause)}`, {
        hint: 'Name an existing folder with --dir <folder>.',
        cause,
      });
    });
    const free = space.bavail * space.bsize;
    if (free < neededBytes) {
      const message = `${parent}: the bench needs ${formatBytes(neededBytes)} free, and ${formatBytes(free)} is free`;
      const hint = 'Nothing was written. Name a roomier folder with --dir, fewer cases, or a smaller --size.';
      throw new TransferError('E_NO_SPACE', message, { hint });
    }
    const workspace = new Workspace(await mkdtemp(join(parent, 'blockferry-bench-')), signal);
    // What copies keep is the bench's own, and not that of whoever runs it.
    process.env.BLOCKFERRY_STATE = workspace.path(STATE);
    // What this machine has every Node load is not what a copy costs: reading certificates alone takes it 40 ms.
    for (const name of ['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS']) delete process.env[name];
    return workspace;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A file of random bytes, durable, in the page cache, and the same for all cases. */
  async source(bytes: number): Promise<string> {
    return this.#once(`source-${bytes}`, (path) => this.#make(path, bytes, [{ offset: 0, length: bytes }]));
  }

  /** {@link SPARSE_BYTES} long, with `dataBytes` of random bytes in stretches all over it. */
  async sparseSource(dataBytes: number): Promise<string> {
    return this.#once(`sparse-${dataBytes}`, (path) => this.#make(path, SPARSE_BYTES, stretchesOf(dataBytes)));
  }

  /** A folder with so many small files in it, durable, in the page cache, and the same for all cases. */
  async treeSource(files: number): Promise<string> {
    return this.#once(`tree-${files}`, async (path) => {
      await makeTree(path, files, this.#signal);
      // Otherwise its writeback would run inside the first measurement.
      await run('sync', ['-f', path]);
    });
  }

  async #once(name: string, make: (path: string) => Promise<void>): Promise<string> {
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    const path = this.path(name);
    await make(path);
    this.#sources.set(name, path);
    return path;
  }

  async #make(path: string, size: number, stretches: readonly Stretch[]): Promise<void> {
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    try {
      await file.truncate(size);
      // The key stream of AES in counter mode: random for every purpose here, and faster than the disk.
      const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
      const zeros = Buffer.alloc(BLOCK_BYTES);
      for (const { offset, length } of stretches) {
        for (let done = 0; done < length; done += BLOCK_BYTES) {
          this.#signal.throwIfAborted();
          const block = cipher.update(zeros.subarray(0, Math.min(BLOCK_BYTES, length - done)));
          await writeAll(file, block, offset + done);
        }
      }
      // Otherwise its writeback would run inside the first measurement.
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Puts all of a file into the page cache, so that every run finds it there. */
  async readThrough(path: string): Promise<void> {
    for await (const _ of createReadStream(path, { highWaterMark: BLOCK_BYTES })) this.#signal.throwIfAborted();
  }

  /** A file, or a folder with all that is in it. Of a source it is gone: the next who asks gets a new one. */
  async remove(path: string): Promise<void> {
    for (const [name, source] of this.#sources) if (source === path) this.#sources.delete(name);
    // Node takes many times as long for a hundred thousand files.
    await run('rm', ['-rf', '--', path]);
  }

  /** Moved away, and removed with the workspace; and what copies keep of it is forgotten. */
  async setAside(path: string): Promise<void> {
    if (existsSync(path)) await rename(path, this.path(`aside-${++this.#aside}`));
    await this.remove(this.path(STATE));
  }

  async close(): Promise<void> {
    await this.remove(this.folder);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** Where the data of a sparse source is: evenly spread, the first bytes and the last among it. */
export function stretchesOf(dataBytes: number): readonly Stretch[] {
  const length = Math.floor(dataBytes / STRETCHES);
  const step = Math.floor((SPARSE_BYTES - length) / (STRETCHES - 1));
  return Array.from({ length: STRETCHES }, (_, index) => ({
    offset: index === STRETCHES - 1 ? SPARSE_BYTES - length : index * step - ((index * step) % MiB),
    length,
  }));
}

/** Room for the sources, and for the targets of one case. */
export function neededBytes(sourceSizes: readonly number[]): number {
  const sizes = [...new Set(sourceSizes)];
  return sizes.reduce((sum, size) => sum + size, 0) + 3 * Math.max(0, ...sizes) + GiB / 4;
}
