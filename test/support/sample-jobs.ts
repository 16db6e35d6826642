/** A job as the service shows it, written down: for tests of what people see. */
import { GiB, MiB } from '../../src/core/units.js';
import type { WholeJobView } from '../../src/daemon/client.js';
import type { FileView, JobProgressView } from '../../src/service/job-service.js';

type Change = Partial<Omit<WholeJobView, 'progress'>> & {
  readonly progress?: Partial<Omit<JobProgressView, 'bytesTotal'>> & { readonly bytesTotal?: number | undefined };
};

const file: FileView = {
  ...{ index: 0, source: '/vms/disk.vhdx', target: '/backup/disk.vhdx', state: 'copying', size: GiB },
  ...{ bytesDone: 430 * MiB, bytesReused: 0, bytesZero: 12 * MiB },
};

const MADE_MS = Date.UTC(2026, 0, 31, 12);

export function sampleJob({ progress, ...change }: Change = {}): WholeJobView {
  const { bytesTotal, ...rest } = { bytesTotal: GiB, ...progress };
  const moves = { rateBytesPerSecond: 20 * MiB, filesDone: 0, filesTotal: 1, bytesReused: 0, bytesZero: 0 };
  const remaining = change.state === 'transferring' ? { remainingMs: 29_700 } : {};
  return {
    ...{ id: '3f2a91c0-0000-4000-8000-000000000001', name: 'nightly', owner: 'root', kind: 'copy' },
    ...{ state: 'queued', reason: 'it waits for its turn', priority: 'normal', autoComplete: false },
    ...{ limitBytesPerSecond: 0, retryDelayMsMin: 10_000, retryDelayMsMax: 600_000, noProgressMsMax: 1_209_600_000 },
    ...{ transferMsMax: 0, createdAt: MADE_MS, changedAt: MADE_MS + 60_000, retries: 0, files: [file] },
    ...change,
    progress: { bytesDone: 0, ...moves, ...remaining, ...rest, ...(bytesTotal !== undefined && { bytesTotal }) },
  } as WholeJobView;
}
