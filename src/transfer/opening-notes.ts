/** What a user should know of a job that has been opened, before it begins, as sentences. */
import { CHUNK_BYTES_DEFAULT, type ChunkGrid } from '../core/chunk.js';
import { formatBytes } from '../core/units.js';
import { CLAIM, type Claims } from '../journal/journal.js';
import type { OpenedJob } from './opening.js';

export function openingNotes({ source, grid, partialLost, damagedRecords }: OpenedJob): readonly string[] {
  const notes: string[] = [];
  if (partialLost) notes.push('the partial data of an earlier run is gone, so the copy begins afresh');
  if (damagedRecords > 0) notes.push(`${damagedRecords} damaged journal records: what they spoke of is copied again`);
  if (source.version.strength === 'none')
    notes.push(`nothing tells when ${source.name} changes: see that nobody writes to it while it is copied`);
  if (grid.count === 1 && grid.size > CHUNK_BYTES_DEFAULT)
    notes.push(`${source.name} is copied in one piece: a copy that is stopped begins again`);
  return notes;
}

export function resumedText(grid: ChunkGrid, { kinds }: Claims): string {
  const bytes = kinds.reduce((sum, claim, chunk) => (claim === CLAIM.none ? sum : sum + grid.range(chunk).length), 0);
  const [claimed, total] = [formatBytes(bytes), formatBytes(grid.size)];
  return `going on with the partial copy of an earlier run: ${claimed} of ${total} were on record`;
}
