/** What the bench calls a change, and what it calls noise. */
import { expect, test } from 'vitest';
import { changesSince, incomparable } from '../../../bench/change.js';
import type { Report } from '../../../bench/report.js';
import { ratioFinding, valueFinding, worstFinding } from '../../../bench/statistics.js';
import { Seeded } from '../../support/seeded.js';
import { caseOf, machine, type Noise, noisyRatios, reportOf } from './reports.js';

const NUMBERS = 30;

/** As many numbers as a run of the bench has; `changed` of them are that much larger. */
function noisyReport(seeded: Seeded, noise: Noise, changed = 0, factor = 1): Report {
  const cases = Array.from({ length: NUMBERS }, (_, at) =>
    caseOf(`case-${at}`, [noisyRatios(seeded, at < changed ? factor : 1, noise)]),
  );
  return reportOf(cases);
}

function news(before: Report, after: Report): readonly string[] {
  return changesSince(before, after)
    .filter(({ verdict }) => verdict === 'better' || verdict === 'worse')
    .map((change) => `${change.case} ${change.verdict}`);
}

test.each([
  { usual: 0.08, slowMode: 0 },
  { usual: 0.08, slowMode: 0.1 },
  { usual: 0.3, slowMode: 0.1 },
  { usual: 2, slowMode: 0.05 },
])('nothing but noise is no news: of many runs of the whole bench, nearly all stay silent, with %o', (noise) => {
  const seeded = new Seeded(20_240);
  const runs = 100;
  const alarms = Array.from({ length: runs }, () => news(noisyReport(seeded, noise), noisyReport(seeded, noise)));
  expect(alarms.filter((found) => found.length > 0).length).toBeLessThanOrEqual(runs * 0.08);
});

test.each([
  { noise: { usual: 0.08, slowMode: 0 }, factor: 1.1 },
  { noise: { usual: 0.08, slowMode: 0.05 }, factor: 1.15 },
  { noise: { usual: 0.3, slowMode: 0 }, factor: 1.5 },
])('three numbers of thirty that became worse are found, and seldom another with them: %o', ({ noise, factor }) => {
  const seeded = new Seeded(5);
  const runs = 40;
  const found = Array.from({ length: runs }, () =>
    news(noisyReport(seeded, noise), noisyReport(seeded, noise, 3, factor)),
  ).flat();
  const right = found.filter((change) => /^case-[012] worse$/.test(change)).length;
  expect(right).toBeGreaterThanOrEqual(3 * runs * 0.9);
  expect(found.length - right).toBeLessThanOrEqual(found.length * 0.1);
});

test('a difference of less than 5 % is no news, however sure it is', () => {
  const steady = (ratio: number): Report => {
    const top = Array.from({ length: 9 }, (_, run) => ratio + run / 10_000);
    return reportOf([
      caseOf('cached', [
        ratioFinding(
          'ours / theirs',
          top,
          top.map(() => 1),
        ),
      ]),
    ]);
  };
  expect(changesSince(steady(1), steady(1.04))[0]).toMatchObject({ verdict: 'within the noise', before: 1.0004 });
  expect(changesSince(steady(1), steady(1.06))[0]).toMatchObject({ verdict: 'worse' });
  expect(changesSince(steady(1), steady(0.94))[0]).toMatchObject({ verdict: 'better' });
});

test('of a number that shall be large, more is better', () => {
  const atLeast = { kind: 'at least', value: 3 } as const;
  const report = (ratio: number): Report => {
    const top = Array.from({ length: 9 }, (_, run) => ratio + run / 1000);
    return reportOf([
      caseOf('rsync', [
        ratioFinding(
          'rsync / ours',
          top,
          top.map(() => 1),
          atLeast,
        ),
      ]),
    ]);
  };
  expect(changesSince(report(3), report(4))[0]?.verdict).toBe('better');
  expect(changesSince(report(4), report(3))[0]?.verdict).toBe('worse');
});

test('what one run or two say is told as that', () => {
  const report = (value: number): Report =>
    reportOf([caseOf('limits', [worstFinding('above', '%', [value], { kind: 'at most', value: 2 })])]);
  expect(changesSince(report(0.1), report(1.9))[0]?.verdict).toBe('too few runs');
});

test('seconds of another machine are not compared, ratios are, and new numbers are told', () => {
  const seconds = Array.from({ length: 9 }, (_, run) => 1 + run / 1000);
  const report = (factor: number, more: Partial<Report> = {}): Report => {
    const slower = seconds.map((value) => value * factor);
    return reportOf(
      [caseOf('small', [valueFinding('wall', 's', slower), ratioFinding('ours / theirs', slower, seconds)])],
      more,
    );
  };
  const elsewhere = { machine: { ...machine, cpu: 'another' } };
  const verdicts = (before: Report, after: Report): string[] => changesSince(before, after).map((one) => one.verdict);
  expect(verdicts(report(1, elsewhere), report(2))).toEqual(['another machine', 'worse']);
  expect(verdicts(report(1), report(2))).toEqual(['worse', 'worse']);
  expect(verdicts(reportOf([]), report(2))).toEqual(['not in the baseline', 'not in the baseline']);
});

test('runs of other sizes, and quick ones, are compared with nothing', () => {
  expect(incomparable(reportOf([]), reportOf([]))).toBeUndefined();
  expect(incomparable(reportOf([]), reportOf([], { sizeBytes: 1 }))).toContain('--size');
  expect(incomparable(reportOf([]), reportOf([], { quick: true }))).toContain('--quick');
});
