import {
  chmodSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import {
  type MergeHeader,
  MergeRecord,
  mergeRecordPath,
  mergesIn,
  peekMerge,
} from '../../../../src/disk/merge-record.js';
import { realFiles } from '../../../../src/platform/file-layer.js';

let child: string;
beforeEach(() => {
  child = join(mkdtempSync(join(tmpdir(), 'merge-record-')), 'child.vhdx');
});
afterEach(() => rmSync(dirname(child), { recursive: true, force: true }));

const header: MergeHeader = {
  child: 'child.vhdx',
  childFormat: 'vhdx',
  parent: '../base.vhdx',
  parentFormat: 'vhdx',
  parentIdentity: 'before',
  grandchildren: ['top.vhdx'],
  keep: false,
};

function write(...steps: ((record: MergeRecord) => void)[]): void {
  const { record } = MergeRecord.begin(realFiles, child, header);
  for (const step of steps) step(record);
  record.close();
}

test('a record tells what was begun, how far it came, and what the parent may be known by', () => {
  write(
    (record) => record.reached(1024),
    (record) => record.finishing('first try'),
    (record) => record.finishing('second try'),
    (record) => record.merged('as it was'),
  );
  const expected = { header, to: 1024, identities: ['before', 'first try', 'second try'], mergedAs: 'as it was' };
  expect(peekMerge(realFiles, child)).toEqual(expected);
  expect(mergesIn(realFiles, dirname(child))).toEqual([{ child, header }]);
});

test('a torn or damaged line and all behind it never happened, and are written over', () => {
  write(
    (record) => record.reached(1024),
    (record) => record.reached(2048),
  );
  const path = mergeRecordPath(child);
  truncateSync(path, readFileSync(path).length - 3);
  const opened = MergeRecord.open(realFiles, child);
  expect(opened?.progress.to).toBe(1024);
  opened?.record.merged('as it was');
  opened?.record.close();
  expect(peekMerge(realFiles, child)).toMatchObject({ to: 1024, mergedAs: 'as it was' });
});

test('a record whose first line is torn was never begun, and goes', () => {
  writeFileSync(mergeRecordPath(child), '1234abcd merge {"form', { mode: 0o600 });
  expect(MergeRecord.open(realFiles, child)).toBeUndefined();
  expect(realFiles.lstat(mergeRecordPath(child))).toBeUndefined();
});

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (thrown) {
    return thrown instanceof TransferError ? thrown.code : String(thrown);
  }
}

test('what is no record is refused, and left as it is', () => {
  for (const [text, code] of [
    ['anything\n', 'E_JOURNAL_DAMAGED'],
    ['\n', 'E_JOURNAL_DAMAGED'],
  ] as const) {
    writeFileSync(mergeRecordPath(child), text, { mode: 0o600 });
    expect(codeOf(() => MergeRecord.open(realFiles, child))).toBe(code);
    expect(readFileSync(mergeRecordPath(child), 'utf8')).toBe(text);
  }
});

test('a record of a later version is refused by name', () => {
  write();
  const path = mergeRecordPath(child);
  const body = readFileSync(path, 'utf8').slice(9, -1).replace('"format":1', '"format":2');
  writeFileSync(path, `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`);
  expect(codeOf(() => MergeRecord.open(realFiles, child))).toBe('E_JOURNAL_VERSION');
});

test('a record that somebody else may have planted is not believed', () => {
  const planted = join(dirname(child), 'planted');
  writeFileSync(planted, '');
  symlinkSync(planted, mergeRecordPath(child));
  expect(codeOf(() => MergeRecord.open(realFiles, child))).toBe('E_PART_UNSAFE');
  rmSync(mergeRecordPath(child));
  linkSync(planted, mergeRecordPath(child));
  expect(codeOf(() => MergeRecord.open(realFiles, child))).toBe('E_PART_UNSAFE');
  expect(peekMerge(realFiles, child)).toBeUndefined();
});

test('a folder that cannot be written to has no merge, and says so', (context) => {
  context.skip(process.getuid?.() === 0, 'root may write anywhere');
  chmodSync(dirname(child), 0o500);
  expect(codeOf(() => MergeRecord.begin(realFiles, child, header))).toBe('E_JOURNAL_WRITE');
  chmodSync(dirname(child), 0o700);
});

test('the record of an image with a long name says the whole name', () => {
  const long = join(dirname(child), `${'n'.repeat(240)}.vhdx`);
  const { record } = MergeRecord.begin(realFiles, long, { ...header, child: basename(long) });
  record.close();
  expect(mergesIn(realFiles, dirname(child)).map(({ child: path }) => path)).toEqual([long]);
});
