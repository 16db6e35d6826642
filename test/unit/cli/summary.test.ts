import { expect, test } from 'vitest';
import { errorLines } from '../../../src/cli/render/error-text.js';
import { copyLines, statusLines, verifyLines } from '../../../src/cli/render/summary.js';
import { TransferError } from '../../../src/core/errors.js';
import { GiB, MiB } from '../../../src/core/units.js';
import type { PartialStatus, VerifyResult } from '../../../src/index.js';
import { sampleResult } from '../../support/scripted-run.js';

const compared: VerifyResult = {
  same: true,
  one: { name: 'b', size: 4096 },
  other: { name: 'a', size: 4096 },
  differing: [],
  bytesDiffering: 0,
  root: '0123456789abcdef',
  of: 'container',
  algorithm: 'xxh64',
  chunkBytes: 8 * MiB,
  elapsedMs: 1,
};

test('a plain copy is summed up in three lines', () => {
  expect(copyLines(sampleResult, true)).toEqual([
    'a.img is copied to b.img: 1.00 GiB in 2.0 s, 512 MiB/s',
    '  proven: hashed while copying',
    '  root: xxh64:0123456789abcdef (chunks of 8.00 MiB)',
  ]);
});

test('a resumed copy says what it did not send again, and what is only as safe as the page cache', () => {
  const resumed = {
    ...sampleResult,
    bytesCopied: 500 * MiB,
    bytesReused: 400 * MiB,
    bytesZero: 100 * MiB,
    bytesRepaired: 8,
  };
  const lines = copyLines({ ...resumed, proof: 'read-back' }, false);
  expect(lines[1]).toBe(
    '  500 MiB sent; 400 MiB from an earlier run, proven again; 100 MiB zero; 8 B read back wrong and repaired',
  );
  expect(lines[2]).toContain('read back from the storage past the cache; not flushed (--no-sync)');
});

test('verify lists twenty differing ranges and counts the rest', () => {
  const differing = Array.from({ length: 22 }, (_, at) => ({ offset: at * 100, length: at + 1 }));
  const lines = verifyLines({ ...compared, same: false, differing, bytesDiffering: 253 });
  expect(lines[0]).toBe('different: b and a differ in 253 bytes, in 22 ranges');
  expect(lines[1]).toBe('  bytes 0 to 0 (1 byte)');
  expect(lines[20]).toBe('  bytes 1900 to 1919 (20 bytes)');
  expect(lines[21]).toBe('  and 2 more; --json lists them');
  expect(lines).toHaveLength(22);
});

test('verify names both sizes when they differ', () => {
  const other = { name: 'a', size: 5000 };
  const differing = [{ offset: 4096, length: 904 }];
  const lines = verifyLines({ ...compared, same: false, other, differing, bytesDiffering: 904 });
  expect(lines.slice(0, 2)).toEqual([
    'different: b and a differ in 904 bytes, in 1 range',
    '  sizes: 4096 and 5000 bytes',
  ]);
});

const partial: NonNullable<PartialStatus['partial']> = {
  source: 'a.img',
  bytesTotal: GiB,
  bytesClaimed: 256 * MiB,
  bytesZero: 256 * MiB,
  chunkBytes: 8 * MiB,
  startedAt: 0,
  lastOpened: { pid: 42, host: 'here', at: 61_000 },
  damagedRecords: 0,
};

test('status says how far a partial copy got and why it stopped', () => {
  const stopped = { at: 90_000, code: 'E_NO_SPACE', message: 'b.img needs 1 GiB more' };
  expect(statusLines({ target: 'b.img', exists: false, partial: { ...partial, stopped } }, 'gone')).toEqual([
    'b.img: a partial copy of a.img',
    '  on record: 512 MiB of 1.00 GiB (50 %), begun 1970-01-01 00:00:00Z',
    '  stopped 1970-01-01 00:01:30Z: b.img needs 1 GiB more',
    '  to go on, run the same copy command again',
  ]);
});

test('status tells a killed copy from one that still runs, and admits when it cannot', () => {
  const said = (holder: 'running' | 'gone' | undefined): string =>
    statusLines({ target: 'b.img', exists: false, partial }, holder).slice(2).join('\n');
  expect(said('gone')).toContain('was killed: process 42 on here');
  expect(said('gone')).toContain('run the same copy command again');
  expect(said('running')).toContain('still running: process 42 on here');
  expect(said('running')).not.toContain('run the same copy command again');
  expect(said(undefined)).toContain('was killed or is still running: process 42 on here');
});

test('an error shows its hint, and its cause only where that helps', () => {
  const cause = new Error('what is behind it');
  const plain = errorLines(new TransferError('E_FLUSH', 'flush failed', { hint: 'One.\nTwo.', cause }), false);
  expect(plain).toEqual(['blockferry: flush failed', '  One.', '  Two.']);
  const bug = errorLines(TransferError.from(cause), false).join('\n');
  expect(bug).toContain('This is a bug in Blockferry');
  expect(bug).toContain('what is behind it');
  expect(errorLines(new TransferError('E_FLUSH', 'flush failed', { cause }), true).join('\n')).toContain('behind it');
});
