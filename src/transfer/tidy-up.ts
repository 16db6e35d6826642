/**
 * What is left to do when an earlier run had put the target under its name and died before it was done: the checksum
 * and the manifest that this run asks for, and the journal that goes last.
 */
import type { ManifestWriter } from '../journal/manifest-writer.js';
import { sparingCache } from './cache-use.js';
import { type Checksum, type ChecksumParts, checksumOf } from './checksum.js';
import type { OpenedJob } from './opening.js';
import { finishManifest, noManifest, type ProvenFile, provenByJournal } from './proven-file.js';
import type { TransferParts, TransferRequest } from './transfer.js';

export interface TidyUpParts extends TransferParts, Omit<ChecksumParts, 'runner' | 'clock'> {
  readonly request: TransferRequest;
  readonly manifest: ManifestWriter | undefined;
}

/** @throws TransferError; the journal stays then, and the next run comes here again */
export async function tidyUp(
  job: OpenedJob,
  parts: TidyUpParts,
): Promise<{ readonly proven: ProvenFile | undefined; readonly checksum: Checksum | undefined }> {
  const { runner, request, manifest } = parts;
  const { journal, site, whole } = job;
  try {
    const checksum = await checksumCommitted(job, parts);
    const proven = whole && (await provenByJournal(whole));
    if (manifest) {
      if (!proven) throw noManifest(site.name);
      await finishManifest(manifest, site.fileName, proven);
      await manifest.publish();
    }
    const part = whole?.news.committing?.part;
    if (whole && proven && part) {
      const { sourceVersion, algorithm, chunkBytes } = whole.header;
      const { digests, proof } = proven;
      await parts.beforeCommit?.({ part, sourceVersion: sourceVersion.value, algorithm, chunkBytes, digests, proof });
    }
    await runner.run('drop-journal', { ref: journal, sync: request.sync });
    return { proven, checksum };
  } catch (thrown) {
    await runner.run('close-journal', { ref: journal });
    throw thrown;
  }
}

/** The run that was cut short need not have been asked for it, and its value is not on record. */
async function checksumCommitted(
  { source, site, whole }: OpenedJob,
  parts: TidyUpParts,
): Promise<Checksum | undefined> {
  const { runner, request, memoryBytes } = parts;
  if (!request.checksum) return undefined;
  const { ref, size } = await runner.run('open-committed', { ref: site.ref, layout: whole?.header.layout });
  const sparing = sparingCache(ref, size, memoryBytes);
  try {
    const said = site.laysOut ? undefined : source.sha256;
    const about = { end: 'committed', ref: sparing, size, pastCache: false, name: site.name, said } as const;
    return await checksumOf(request.checksum, about, parts);
  } finally {
    await runner.run('close-source', { ref });
  }
}
