import { expect, test } from 'vitest';
import { budgetOf, COPIES, type Ends, planSteps, WARM_COPY_BYTES } from '../../../src/benchmark/plan.js';
import { GiB, KiB, MiB } from '../../../src/core/units.js';

const kinds: readonly Ends[] = [
  { source: 'scratch', target: 'same' },
  { source: 'scratch', target: 'own' },
  { source: 'file', target: 'own' },
  { source: 'stream', target: 'own' },
  { source: 'file', target: 'none' },
  { source: 'stream', target: 'none' },
];

test.for(kinds)('no more is planned to be written than is allowed: %o', (ends, { expect }) => {
  for (const size of [64 * MiB, 100_000_000, GiB, 64 * GiB]) {
    const steps = planSteps(ends, 8);
    const { sourceBytes, targetBytes, fileBytes, shareBytes } = budgetOf(ends, steps, size, Infinity);
    expect(sourceBytes + targetBytes).toBeLessThanOrEqual(size);
    const written = steps.reduce((sum, step) => sum + step.share * shareBytes, 0);
    const files = (ends.source === 'scratch' ? 1 : 0) + (ends.target === 'own' ? 1 + COPIES : 0);
    const warm = ends.target === 'own' ? COPIES * WARM_COPY_BYTES : 0;
    expect(sourceBytes + targetBytes).toBe(files * fileBytes + written + warm);
  }
});

test('a file, a device or a URL alone is only read', () => {
  for (const source of ['file', 'stream'] as const) {
    const steps = planSteps({ source, target: 'none' }, 8);
    expect(steps.filter(({ pattern, share }) => pattern.kind === 'write' || share > 0)).toEqual([]);
    expect(budgetOf({ source, target: 'none' }, steps, GiB, Infinity)).toMatchObject({
      sourceBytes: 0,
      targetBytes: 0,
    });
  }
});

test('a folder is read in blocks from 64 KiB to 4 MiB and on up to 8 threads', () => {
  const steps = planSteps({ source: 'scratch', target: 'same' }, 8);
  const direct = steps.filter(({ pattern }) => pattern.kind === 'read' && pattern.access === 'direct');
  const blocks = new Set(direct.map(({ pattern }) => pattern.blockBytes));
  expect([...blocks].sort((a, b) => a - b)).toEqual([4 * KiB, 64 * KiB, 256 * KiB, MiB, 4 * MiB]);
  expect(Math.max(...steps.map(({ threads }) => threads))).toBe(8);
});

test('scratch files are no larger than the room that there is', () => {
  const ends = { source: 'scratch', target: 'same' } as const;
  expect(budgetOf(ends, planSteps(ends, 2), GiB, 20 * MiB).fileBytes).toBe(20 * MiB);
});
