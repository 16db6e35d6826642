import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ASSUMED_RATES, predict } from '../../../src/migrate/predict.js';
import { RateBook } from '../../../src/migrate/rate-book.js';
import { scratchFolder } from '../../support/copying.js';

const TOOK = {
  save: { bytes: 80e6, ms: 600 },
  copy: { bytes: 90e6, ms: 500 },
  prove: { bytes: 90e6, ms: 300 },
  load: { bytes: 80e6, ms: 700 },
  other: { bytes: 0, ms: 200 },
};

test('what the last blackout took is what the next one is predicted to take', () => {
  const folder = scratchFolder();
  new RateBook(folder).learn('local', 'local', TOOK, 120e6);
  const load = { deltaBytes: 10e6, memoryBytes: 120e6, memoryIsCopied: true, deltaBytesPerSecond: 0 };
  expect(predict(load, new RateBook(folder).rates('local', 'local')).blackoutMs).toBe(2300);
  expect(new RateBook(folder).rates('local', 'other')).toEqual(ASSUMED_RATES);
});

test('later ones count as much as all before them', () => {
  const book = new RateBook(scratchFolder());
  book.learn('local', 'local', TOOK, 120e6);
  book.learn('local', 'local', { ...TOOK, copy: { bytes: 90e6, ms: 250 } }, 120e6);
  expect(book.rates('local', 'local').copyBytesPerSecond).toBe(270e6);
});

test('what the bases took is believed until more is known, when they were large', () => {
  const book = new RateBook(scratchFolder());
  expect(book.rates('local', 'local', { bytes: 1e9, ms: 10_000 }).copyBytesPerSecond).toBe(100e6);
  expect(book.rates('local', 'local', { bytes: 1e6, ms: 10_000 })).toEqual(ASSUMED_RATES);
});

test('experience that is damaged is forgotten', () => {
  const folder = scratchFolder();
  new RateBook(folder).learn('local', 'local', TOOK, 120e6);
  const path = join(folder, 'rates.json');
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 40));
  expect(new RateBook(folder).rates('local', 'local')).toEqual(ASSUMED_RATES);
});
