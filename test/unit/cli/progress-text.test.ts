import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { barLine, doingText, limitLine, plainLine } from '../../../src/cli/render/progress-text.js';
import { CalmLimit, saidOf } from '../../../src/cli/render/reporter.js';
import type { ProgressEvent } from '../../../src/core/events.js';
import { GiB, KiB, MiB, TiB } from '../../../src/core/units.js';
import { limit, progress } from '../../support/scripted-run.js';

const samples: readonly ProgressEvent[] = [
  progress(),
  progress({ bytesDone: 0, rateBytesPerSecond: 0 }),
  progress({ bytesDone: 0, bytesTotal: 0, rateBytesPerSecond: 0 }),
  progress({ bytesTotal: 5 * TiB, rateBytesPerSecond: 64 * KiB, remainingMs: 1e13 }),
  progress({ bytesDone: 1023 * KiB, rateBytesPerSecond: 1023 * KiB, remainingMs: 86_340_000 }),
  progress({ bytesDone: GiB, phase: 'committing' }),
];

test.each([true, false])('the bar never takes more than the columns that there are (colours: %s)', (colour) => {
  for (const sample of samples) {
    for (let columns = 20; columns <= 200; columns++) {
      const look = { columns, colour };
      expect(stringWidth(barLine(sample, look))).toBeLessThanOrEqual(columns);
      const line = limitLine('copying', limit('writing to the target takes most of the time'), look);
      expect(stringWidth(line)).toBeLessThanOrEqual(columns);
    }
  }
});

test('a wide terminal shows everything, and a narrow one what matters most', () => {
  const at = (columns: number): string => barLine(progress(), { columns, colour: false });
  expect(at(79)).toBe(' 41% [########............]   430 MiB of 1.00 GiB  20.0 MiB/s  30 s left');
  expect(at(50)).toBe(' 41% [#####........]  20.0 MiB/s  30 s left');
  expect(at(40)).toBe(' 41% [######.........]  30 s left');
  expect(at(29)).toBe(' 41%  20.0 MiB/s  30 s left');
  expect(at(20)).toBe(' 41%  30 s left');
});

test('the bar keeps its length while the numbers beside it change', () => {
  const lengths = [0, 9 * KiB, 512 * KiB, 20 * MiB].map((rateBytesPerSecond) => {
    return barLine(progress({ rateBytesPerSecond }), { columns: 79, colour: false }).indexOf(']');
  });
  expect(new Set(lengths).size).toBe(1);
});

test('a copy says 100% only when every byte is done', () => {
  const line = barLine(progress({ bytesDone: GiB - 1 }), { columns: 79, colour: false });
  expect(line).toMatch(/^ 99%/);
  expect(barLine(progress({ bytesDone: GiB }), { columns: 79, colour: false })).toMatch(/^100%/);
});

test('without colours the bar has no escape sequence', () => {
  const lines = samples.map((sample) => barLine(sample, { columns: 79, colour: false }));
  expect(lines.join('')).toMatch(/^[\x20-\x7e]*$/);
  expect(barLine(progress(), { columns: 79, colour: true })).toContain('\x1b[36m');
});

test('the second line tells what holds the copy back, and is cut where the terminal ends', () => {
  const reason = limit('the limit of 20.0 MiB/s that was set');
  const at = (columns: number): string => limitLine('copying', reason, { columns, colour: false });
  expect(at(79)).toBe('     copying: the limit of 20.0 MiB/s that was set');
  expect(at(24)).toBe('     copying: the limi..');
});

test('a line for a log holds everything, whatever the width', () => {
  expect(plainLine(progress(), 'copying', limit('hashing takes most of the time'))).toBe(
    'copying: 41%, 430 MiB of 1.00 GiB, 20.0 MiB/s, 30 s left (hashing takes most of the time)',
  );
});

test('a comparison is called so, though it only reads', () => {
  expect(doingText(progress({ phase: 'reading-back' }), 'comparing')).toBe('comparing');
  expect(doingText(progress({ phase: 'reading-back' }), 'copying')).toBe('reading back from the storage');
  const deadline = { finishBy: 0, lateByMs: 1_200_000 };
  expect(doingText(progress({ deadline }), 'copying')).toBe('copying, will be late by about 20 min 00 s');
  expect(doingText(progress({ deadline: { finishBy: 0 } }), 'copying')).toBe('copying');
});

test('a reason stands for a second before another one replaces it', () => {
  const shown = new CalmLimit();
  shown.see(limit('first'));
  expect(shown.of({ at: 1000, phase: 'copying' })?.reason).toBe('first');
  shown.see(limit('second'));
  expect(shown.of({ at: 1999, phase: 'copying' })?.reason).toBe('first');
  expect(shown.of({ at: 2000, phase: 'copying' })?.reason).toBe('second');
  expect(shown.of({ at: 4000, phase: 'done' })).toBeUndefined();
});

test('notes, retries and a resume get a line of their own, and nothing else does', () => {
  const base = { schema: 1, at: 0 } as const;
  const names = { source: 'a', target: 'b' };
  const error = { code: 'E_NETWORK', message: 'host hung up' } as const;
  expect(saidOf({ ...base, type: 'note', message: 'no holes here' })).toBe('note: no holes here');
  expect(saidOf({ ...base, type: 'retry', chunk: 7, attempt: 2, waitMs: 1500, error })).toBe(
    'chunk 7: host hung up; trying again in 1.5 s (retry 2)',
  );
  expect(saidOf({ ...base, type: 'state', state: 'transferring', ...names, reason: 'going on' })).toBe('going on');
  expect(saidOf({ ...base, type: 'state', state: 'transferring', ...names, reason: 'copying' })).toBeUndefined();
  expect(saidOf({ ...base, type: 'checkpoint', chunks: 1, bytes: 1, flushMs: 1 })).toBeUndefined();
});
