/** Damaged images by the thousand; `npm run test:fuzz` runs many more. What may come of one: see judge.ts. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hasQemuImg } from '../support/disk-corpus.js';
import { fuzz } from './fuzz.js';
import type { CaseReport } from './fuzz-child.js';

const CASES = 1000;
const SEED = 1;

test('a damaged image is read right, or refused, or found wrong, within bounded memory and time', async (context) => {
  if (!hasQemuImg) context.skip('qemu-img is not installed');
  const counts: Partial<Record<CaseReport['kind'], number>> = {};
  const failed: string[] = [];
  await fuzz({
    folder: join(process.env.BLOCKFERRY_TEST_RUN ?? '', 'disk-corpus'),
    cases: CASES,
    seed: SEED,
    report: ({ number, name, kind, damage, why }) => {
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (kind === 'failed') failed.push(`--seed ${SEED} --only ${number} (${name}; ${damage}): ${why}`);
    },
  });
  expect(failed).toEqual([]);
  // Damage that leads nowhere, or always to the same, would prove nothing.
  for (const kind of ['refused', 'found', 'same', 'payload', 'agreed'] as const) {
    expect(counts[kind], kind).toBeGreaterThan(CASES / 100);
  }
}, 300_000);
