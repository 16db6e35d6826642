/** The rules that hold where nobody wrote others, each with its reason; as a value, and as the file that says the same. */
import type { Policy } from '../policy.js';

export const DEFAULT_POLICY: Policy = {
  jobsAtOnce: 12,
  foregroundAtOnce: 8,
  filesAtOnce: 2,
  perSourcePath: 10,
  perTargetPath: 10,
  migrationsAtOnce: 10,
  sliceMs: 30_000,
  lowSharePercent: 5,
  jobsMax: 20_000,
  filesPerJobMax: 10_000,
  inactivityMs: 90 * 86_400_000,
  inactivityDeletesPartial: false,
  historyMs: 7 * 86_400_000,
  rates: { all: 0, foreground: 0, high: 0, normal: 0, low: 0 },
  windows: [],
  maintenance: [],
};

export function defaultPolicyText(): string {
  throw new Error('comes next');
}
