/** What exports and imports do with files: copies by the engine, proven, and digests; all on one set of threads. */
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { createRunner } from '../compose.js';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { parseLocation } from '../endpoint/location.js';
import { journalPath, partPath } from '../endpoint/part-names.js';
import type { FileCopy, KnownFile, PortableFiles } from '../migrate/export-import.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { discardPartial } from '../transfer/discard.js';
import { DigestRun } from '../transfer/disk/digest-job.js';
import { Transfer } from '../transfer/transfer.js';
import { endsOf, requestOf } from './options.js';

export class EngineFiles implements PortableFiles {
  #runner: Promise<ChunkRunner> | undefined;

  async copy(copy: FileCopy, bytesDone: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const { target, sha256 } = copy;
    const runner = await this.#threads();
    const resumes = [partPath(target), journalPath(target)].some((path) => isThere(path));
    const checksum = sha256 === undefined ? undefined : ({ algorithm: 'sha256', expected: sha256 } as const);
    const transfer = new Transfer({ ...optionsOf(copy), checksum, manifest: undefined }, { ...parts, runner });
    try {
      await stoppable(transfer, signal, async () => {
        const done = transfer.run();
        for await (const event of transfer.events) if (event.type === 'progress') bytesDone(event.bytesDone);
        await done;
      });
    } catch (thrown) {
      if (!resumes) await discardPartial({ target: parseLocation(target), sourceName: '' }, runner);
      throw thrown;
    }
  }

  async digest(path: string, signal: AbortSignal): Promise<KnownFile> {
    const request = { location: parseLocation(path), of: ['container'], sha256: true } as const;
    const run = new DigestRun(request, { ...parts, runner: await this.#threads() });
    const { digests } = await stoppable(run, signal, () => run.run());
    const [digest] = digests;
    if (digest?.sha256 === undefined) throw new TransferError('E_BUG', `no digest of ${path}`);
    return { bytes: digest.size, sha256: digest.sha256 };
  }

  async repoint(image: string, parent: string): Promise<void> {
    const [child, to] = [parseLocation(image), parseLocation(parent)];
    const change = { child, parent: to, anyParent: false, parentFolders: [dirname(parent)] };
    await (await this.#threads()).run('set-disk-parent', change);
  }

  async close(): Promise<void> {
    await (await this.#runner)?.close();
    this.#runner = undefined;
  }

  #threads(): Promise<ChunkRunner> {
    this.#runner ??= createRunner();
    return this.#runner;
  }
}

const parts = { clock: systemClock, random: Math.random };

function optionsOf({ source, target, format, flattened }: FileCopy) {
  const ends = { source, target, ...(flattened && { flatten: true, parentFolders: flattened }) };
  // What the guest of a raw disk wrote must not choose what it is taken for.
  const check = flattened !== undefined || (format !== undefined && format !== 'raw');
  return { ...requestOf({ check }), ...endsOf(ends) };
}

async function stoppable<T>(work: { suspend(): void }, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  const stop = (): void => work.suspend();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await run();
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
