/** Reports made up for tests: the machine is always the same, and chance has a seed. */
import type { Machine } from '../../../bench/machine.js';
import type { Report, ReportedCase } from '../../../bench/report.js';
import { type Finding, ratioFinding } from '../../../bench/statistics.js';
import { GiB } from '../../../src/core/units.js';
import type { Seeded } from '../../support/seeded.js';

export const machine: Machine = {
  cores: 2,
  cpu: 'Test <CPU> & co',
  memoryBytes: 24 * GiB,
  kernel: '6.1.0 x86_64',
  fileSystem: 'ext4',
  node: 'v20.19.0',
  blockferry: '0.1.0',
  measuredBy: 'a test',
  tools: { cp: 'cp (GNU coreutils) 9.1' },
};

export function reportOf(cases: readonly ReportedCase[], about: Partial<Report> = {}): Report {
  return { schema: 1, machine, sizeBytes: 2 * GiB, quick: false, cases, ...about };
}

export function caseOf(name: string, findings: readonly Finding[], about: Partial<ReportedCase> = {}): ReportedCase {
  const measuredAt = '2024-01-02T03:04:05.000Z';
  return { name, title: `what ${name} measures`, measuredAt, findings, contenders: [], notes: [], ...about };
}

/** What a shared machine does to seconds. */
export interface Noise {
  /** A run takes up to so much longer: 0.1 for a tenth. */
  readonly usual: number;
  /** How often a run falls into a mode in which all takes three times as long. */
  readonly slowMode: number;
}

/** Ratios of pairs as such a machine gives them. */
export function noisyRatios(seeded: Seeded, ratio: number, { usual, slowMode }: Noise, pairs = 9): Finding {
  const seconds = (base: number): number => base * (1 + usual * seeded.random()) * (seeded.chance(slowMode) ? 3 : 1);
  const top = Array.from({ length: pairs }, () => seconds(ratio));
  return ratioFinding(
    'ours / theirs',
    top,
    top.map(() => seconds(1)),
  );
}
