/**
 * Whether the source still is what was copied, asked once all of it was. A version that is another one ends the copy.
 * Where only the time of the last change of any kind moved (ctime), nobody can tell a new mode from a write whose
 * modification time was put back, so the source is read again and compared with what was copied.
 */
import { TransferError } from '../core/errors.js';
import type { CarryOutParts } from './carry-out.js';
import type { Lanes } from './lanes.js';
import { withRetry } from './retry.js';

/** Who keeps touching the source is not waited for. */
const READINGS_MAX = 3;

/** @throws TransferError E_SOURCE_CHANGED */
export async function checkSource(parts: CarryOutParts, lanes: Lanes): Promise<void> {
  const { job, progress, emit } = parts;
  let known = job.source.version.changedNs;
  for (let reading = 0; ; reading++) {
    const changedNs = await askSource(parts);
    // What is kept nowhere cannot become a wrong image.
    if (changedNs === known || job.site.forgets) return;
    if (reading === READINGS_MAX) throw changed(job.source.name, 'is touched again and again');
    known = changedNs;
    emit({ type: 'note', message: `${job.source.name} was touched while it was copied: it is read again, to be sure` });
    // Of the target, too: a proof compares both with what is on record.
    progress.startReading('reading-back', job.grid.size * 2);
    const differing = await lanes.proveSource();
    progress.phase = 'committing';
    if (differing.length > 0) throw changed(job.source.name, 'was changed while it was copied', differing[0]);
  }
}

/** After hours of copying, one answer that does not come is not the end. */
function askSource({ runner, clock, random, signal, emit, job, progress }: CarryOutParts): Promise<string | undefined> {
  return withRetry(() => runner.run('check-source', { ref: job.source.ref }), {
    clock,
    random,
    signal,
    onRetry: (attempt, waitMs, error) => emit({ type: 'retry', attempt, waitMs, error: error.toJSON() }),
    waiting: (wait) => progress.time.during('retryMs', wait),
  });
}

function changed(name: string, what: string, chunk?: number): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${name} ${what}`, {
    hint: 'The copy got no name, and what is on record is kept: the same command proves it against the source.',
    ...(chunk !== undefined && { chunk }),
  });
}
