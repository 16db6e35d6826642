import { expect, test } from 'vitest';
import { PROBLEMS_MAX, RANGES_MAX, VerifyReport } from '../../../src/tree/verify-report.js';

test('the parts of a large file are one problem, its ranges in order and merged where they touch', () => {
  const report = new VerifyReport();
  const state = report.begin('large', 100);
  report.add(state, { problem: 'different', differing: [{ offset: 60, length: 10 }] });
  report.add(state, { problem: 'different', differing: [{ offset: 0, length: 10 }] });
  report.add(state, { problem: 'different', differing: [{ offset: 70, length: 5 }] });
  const differing = [
    { offset: 0, length: 10 },
    { offset: 60, length: 15 },
  ];
  expect(report.result()).toMatchObject({
    same: false,
    files: 1,
    filesDifferent: 1,
    problems: [{ path: 'large', problem: 'different', differing }],
  });
});

test('what is listed is bounded, and what is counted is not', () => {
  const report = new VerifyReport();
  for (let nth = 0; nth < PROBLEMS_MAX + 5; nth++) report.add(report.begin(`${nth}`, 1), { problem: 'missing' });
  const ranges = Array.from({ length: 1000 }, (_, at) => ({ offset: at * 2, length: 1 }));
  const other = new VerifyReport();
  other.add(other.begin('many', 2000), { problem: 'different', differing: ranges });
  expect(report.result().problems).toHaveLength(PROBLEMS_MAX);
  expect(report.result().filesMissing).toBe(PROBLEMS_MAX + 5);
  const [problem] = other.result().problems;
  expect(problem?.problem === 'different' && problem.differing).toHaveLength(RANGES_MAX);
  expect(problem?.problem === 'different' && problem.differing.at(-1)).toEqual({ offset: 126, length: 1873 });
});

test('a file that cannot be read in one part and differs in another keeps its first problem', () => {
  const report = new VerifyReport();
  const state = report.begin('bad', 10);
  report.add(state, { problem: 'unreadable', reason: 'EIO' });
  report.add(state, { problem: 'different', differing: [{ offset: 0, length: 1 }] });
  expect(report.result()).toMatchObject({ filesUnreadable: 1, filesDifferent: 0, problems: [{ reason: 'EIO' }] });
});
