/** The files of this host, for a migration that begins or ends here. */
import { rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../core/clock.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { parseLocation } from '../endpoint/location.js';
import { makeFolders } from '../endpoint/state-folder.js';
import { syncFolder } from '../platform/publish.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { DigestRun } from '../transfer/disk/digest-job.js';
import type { EndFiles, FileDigest } from './migration-end.js';

export interface LocalFilesParts {
  /** Threads, made when they are first needed, and ended by {@link LocalFiles.close}. */
  readonly newRunner: () => Promise<ChunkRunner>;
  readonly clock: Clock;
  readonly random: () => number;
}

export class LocalFiles implements EndFiles {
  readonly #parts: LocalFilesParts;
  #runner: Promise<ChunkRunner> | undefined;

  constructor(parts: LocalFilesParts) {
    this.#parts = parts;
  }

  location(path: string): string {
    return path;
  }

  async stat(path: string): Promise<{ bytes: number; version: string } | undefined> {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!stat) return undefined;
    if (!stat.isFile()) throw new TransferError('E_SOURCE_KIND', `${path} is not a regular file`);
    return { bytes: Number(stat.size), version: `${stat.size} ${stat.mtimeNs} ${stat.ino}` };
  }

  async digest(path: string, whole: boolean, signal: AbortSignal): Promise<FileDigest> {
    const { clock, random } = this.#parts;
    const request = { location: parseLocation(path), of: ['container'], sha256: whole, algorithm: 'sha256' } as const;
    const run = new DigestRun(request, { clock, random, runner: await this.#threads() });
    const stop = (): void => run.suspend();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      const { digests } = await run.run();
      const [found] = digests;
      if (!found) throw new TransferError('E_BUG', `no digest of ${path}`);
      const { size: bytes, root, chunkBytes, sha256 } = found;
      return { bytes, root, chunkBytes, ...(sha256 !== undefined && { sha256 }) };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async repoint(image: string, parent: string): Promise<void> {
    const runner = await this.#threads();
    const [child, to] = [parseLocation(image), parseLocation(parent)];
    await runner.run('set-disk-parent', { child, parent: to, anyParent: false, parentFolders: [dirname(parent)] });
  }

  async makeFolder(path: string): Promise<void> {
    makeFolders(path);
  }

  async remove(path: string): Promise<void> {
    try {
      rmSync(path);
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return;
      throw new TransferError('E_TARGET_ACCESS', `${path} cannot be removed`, {
        hint: 'Remove it by hand, or let this user do it, and go on.',
        cause: thrown,
      });
    }
    syncFolder(dirname(path));
  }

  async close(): Promise<void> {
    await (await this.#runner)?.close();
    this.#runner = undefined;
  }

  #threads(): Promise<ChunkRunner> {
    this.#runner ??= this.#parts.newRunner();
    return this.#runner;
  }
}
