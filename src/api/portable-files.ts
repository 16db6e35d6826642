/** What exports and imports do with files: copies by the engine, proven, and digests by its threads. */
import { lstatSync } from 'node:fs';
import { createRunner } from '../compose.js';
import { TransferError } from '../core/errors.js';
import { parseLocation } from '../endpoint/location.js';
import { journalPath, partPath } from '../endpoint/part-names.js';
import type { KnownFile, PortableFiles } from '../migrate/export-import.js';
import { discardPartial } from '../transfer/discard.js';
import { copy } from './copy.js';
import { diskDigest, setDiskParent } from './disk.js';

export const portableFiles: PortableFiles = {
  async copy({ source, target, format, sha256, flattened }, bytesDone, signal) {
    const resumes = [partPath(target), journalPath(target)].some((path) => isThere(path));
    const run = copy({
      ...{ source, target, signal },
      ...(flattened && { flatten: true, parentFolders: flattened }),
      // What the guest of a raw disk wrote must not choose what it is taken for.
      check: flattened !== undefined || (format !== undefined && format !== 'raw'),
      ...(sha256 !== undefined && { checksum: { algorithm: 'sha256', expected: sha256 } as const }),
    });
    try {
      for await (const event of run) if (event.type === 'progress') bytesDone(event.bytesDone);
      await run.result;
    } catch (thrown) {
      if (!resumes) await discard(target);
      throw thrown;
    }
  },
  async digest(path, signal): Promise<KnownFile> {
    const run = diskDigest({ image: path, of: 'container', sha256: true, signal });
    const [digest] = (await run.result).digests;
    if (digest?.sha256 === undefined) throw new TransferError('E_BUG', `no digest of ${path}`);
    return { bytes: digest.size, sha256: digest.sha256 };
  },
  async repoint(child, parent) {
    await setDiskParent({ child, parent });
  },
};

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

async function discard(target: string): Promise<void> {
  const runner = await createRunner(1);
  try {
    await discardPartial({ target: parseLocation(target), sourceName: '' }, runner);
  } finally {
    await runner.close();
  }
}
