/**
 * What a partial copy holds, for a status: read from its journal, without taking its lock and without touching its
 * data.
 */
import { ChunkGrid } from '../core/chunk.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { PartialOnRecord } from '../core/target.js';
import { CLAIM, type JournalContent } from '../journal/journal.js';
import type { ChunkRunner } from './chunk-runner.js';

export interface PartialStatus {
  readonly target: string;
  /** The target exists under its name; a partial may exist beside it. */
  readonly exists: boolean;
  /** Which half of a partial copy is there without the other; it takes both to go on. */
  readonly half?: 'data' | 'journal';
  /** Absent: there is no partial copy. */
  readonly partial?: PartialOnRecord;
}

export async function partialStatus(target: Location, runner: ChunkRunner): Promise<PartialStatus> {
  const site = await runner.run('locate-target', { location: target, sourceName: '' }).catch((thrown) => {
    throw thrown.code === 'E_USAGE' && target.scheme === 'file' ? folderStatus(target.name) : thrown;
  });
  const content = await runner.run('peek-journal', { path: site.journalPath });
  const exists = site.existing !== undefined && (site.publish === 'atomic' || !content);
  const data = site.partial !== undefined;
  const partial = content ? partialOnRecord(content) : site.recordThere;
  if (!partial) return { target: site.name, exists, ...(data && site.publish === 'atomic' && { half: 'data' }) };
  return { target: site.name, exists, ...(!data && !site.partialOnRecord && { half: 'journal' }), partial };
}

export function partialOnRecord({ header, claims, news }: JournalContent): PartialOnRecord {
  const grid = new ChunkGrid(header.size, header.chunkBytes);
  let [bytesClaimed, bytesZero] = [0, 0];
  claims.kinds.forEach((claim, chunk) => {
    if (claim === CLAIM.chunk) bytesClaimed += grid.range(chunk).length;
    if (claim === CLAIM.zero) bytesZero += grid.range(chunk).length;
  });
  const { opened, stopped, damagedRecords } = news;
  return {
    source: header.sourceName,
    bytesTotal: header.size,
    ...{ bytesClaimed, bytesZero },
    chunkBytes: header.chunkBytes,
    startedAt: header.createdAt,
    ...(opened && { lastOpened: opened }),
    ...(stopped && { stopped }),
    damagedRecords,
  };
}

function folderStatus(name: string): TransferError {
  return new TransferError('E_USAGE', `${name} is a folder; a status is one of a single file`, {
    hint: 'Name a file in it. What a tree copy has still to do is told by the same command with --dry-run.',
  });
}
