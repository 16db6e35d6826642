/**
 * What is known of a file once every chunk is proven, and the manifest that says so. The manifest is durable under a
 * hidden name before the target gets its name, and gets its own before the journal goes: after a crash in between the
 * journal still holds all that the next run needs to write it again.
 */
import { ChunkGrid } from '../core/chunk.js';
import { type Algorithm, loadHasher, rootDigest, toHex, zeroDigest } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import type { ProofLevel } from '../core/events.js';
import type { PartMark } from '../core/target.js';
import { CLAIM, type Claims, type JournalContent, type JournalHeader } from '../journal/journal.js';
import { type ManifestFile, whyNoPath } from '../journal/manifest.js';
import type { ManifestWriter } from '../journal/manifest-writer.js';

export interface ProvenFile extends Omit<ManifestFile, 'path'> {
  /** Of all chunks, one behind the other. */
  readonly digests: Uint8Array;
}

/** A partial copy that is whole. */
export interface ProvenPart {
  readonly part: PartMark;
  readonly sourceVersion: string;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
  /** All chunk digests, one behind the other. */
  readonly digests: Uint8Array;
  readonly proof: ProofLevel;
}

type About = Pick<JournalHeader, 'algorithm' | 'chunkBytes' | 'size'>;
/** What digests are of; absent: the file itself. */
type Of = 'content' | undefined;

export async function provenFile(
  about: About,
  digests: Uint8Array,
  { proof, of }: { readonly proof: ProofLevel; readonly of?: Of },
): Promise<ProvenFile> {
  const { algorithm, chunkBytes, size } = about;
  const root = toHex(rootDigest(await loadHasher(algorithm), about, digests));
  return { algorithm, chunkBytes, size, proof, root, digests, ...(of && { of }) };
}

/** What a journal says of a target that it vouches for; undefined when damage to it has cost a digest. */
export async function provenByJournal({ header, claims, news }: JournalContent): Promise<ProvenFile | undefined> {
  await fillZeroDigests(header, claims);
  const proven = await provenFile(header, claims.digests, {
    proof: 'written',
    of: header.layout && 'content',
  });
  return proven.root === news.committing?.root ? proven : undefined;
}

async function fillZeroDigests({ algorithm, size, chunkBytes }: About, { kinds, digests }: Claims): Promise<void> {
  const grid = new ChunkGrid(size, chunkBytes);
  const newHasher = await loadHasher(algorithm);
  const full = zeroDigest(newHasher, Math.min(chunkBytes, size));
  kinds.forEach((kind, chunk) => {
    if (kind !== CLAIM.zero) return;
    const { length } = grid.range(chunk);
    digests.set(length === chunkBytes ? full : zeroDigest(newHasher, length), chunk * full.length);
  });
}

/** Puts one file into the manifest, and makes it whole and durable, still under its hidden name. */
export async function finishManifest(writer: ManifestWriter, name: string, proven: ProvenFile): Promise<void> {
  const { digests, ...about } = proven;
  // A server may call its file anything; the name is for people, since a manifest of one file fits any name.
  const path = name.includes('/') || whyNoPath(name) !== undefined ? 'unnamed' : name;
  await writer.file({ path, ...about }, digests);
  await writer.finish();
}

export function noManifest(target: string): TransferError {
  return new TransferError('E_JOURNAL_DAMAGED', `${target} is whole, but its journal lacks what a manifest needs`, {
    hint: 'Run the command again without --manifest; then a copy of the target to null: writes its manifest.',
  });
}
