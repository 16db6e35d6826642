/** The jobs of a service on one screen: what moves first, then what waits, then what needs somebody. */
import type { JobState } from '../../core/events.js';
import { formatRate } from '../../core/units.js';
import type { JobView, ServiceLoad } from '../../service/job-service.js';
import { fitted } from './file-text.js';
import { jobTable } from './job-table.js';

export interface ScreenLook {
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
}

const ORDER: readonly JobState[] = [
  ...(['transferring', 'connecting', 'error', 'transient-error', 'transferred'] as const),
  ...(['queued', 'suspended', 'acknowledged', 'cancelled'] as const),
];

export function topLines(jobs: readonly JobView[], load: ServiceLoad, look: ScreenLook): string[] {
  const counts = ORDER.filter((state) => load.states[state] > 0).map((state) => `${load.states[state]} ${state}`);
  const rate = Object.values(load.rates).reduce((sum, one) => sum + one, 0);
  const head = `blockferry: ${counts.length === 0 ? 'no jobs' : counts.join(', ')}; ${formatRate(rate)}`;
  const rank = ({ state }: JobView): number => ORDER.indexOf(state);
  const sorted = [...jobs].sort((one, other) => rank(one) - rank(other));
  const table = sorted.length === 0 ? [] : jobTable(sorted, look);
  // The first line, the last one, and one that stays free for the cursor.
  const room = Math.max(1, look.rows - 3);
  const shown = table.length > room ? [...table.slice(0, room - 1), '…'] : table;
  return [fitted(head, look.columns), ...shown, fitted('Ctrl-C leaves; the jobs go on', look.columns)];
}
