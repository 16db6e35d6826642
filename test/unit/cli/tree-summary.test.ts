import { expect, test } from 'vitest';
import { treeVerifyLines } from '../../../src/cli/render/tree-verify-summary.js';
import { KiB, MiB } from '../../../src/core/units.js';
import type { TreeVerifyResult } from '../../../src/index.js';

const whole: TreeVerifyResult = {
  same: true,
  target: 'images',
  against: 'images.manifest',
  files: 3,
  bytes: 3 * MiB,
  filesMissing: 0,
  filesDifferent: 0,
  filesUnreadable: 0,
  filesExtra: 0,
  problems: [],
  elapsedMs: 1,
};

test('a folder that is what its manifest says takes one line, and one more for what else is in it', () => {
  const said = 'same: images holds all that images.manifest says: 3 files, 3.00 MiB';
  expect(treeVerifyLines(whole)).toEqual([said]);
  const extra = '  extra: 1 file in images that images.manifest knows nothing of';
  expect(treeVerifyLines({ ...whole, filesExtra: 1 })).toEqual([said, extra]);
});

test('each kind of problem is told in a line of its own', () => {
  const range = (offset: number): { offset: number; length: number } => ({ offset, length: 10 });
  const problems: TreeVerifyResult['problems'] = [
    { path: 'a', problem: 'missing' },
    { path: 'b', problem: 'size', size: 1, expectedSize: 4 * KiB },
    { path: 'c', problem: 'kind', reason: 'it is a folder' },
    { path: 'd', problem: 'unreadable', reason: 'EIO' },
    { path: 'e', problem: 'different', differing: [range(0), range(20), range(40), range(60)] },
  ];
  const counts = { filesMissing: 1, filesDifferent: 3, filesUnreadable: 1 };
  expect(treeVerifyLines({ ...whole, same: false, ...counts, problems })).toEqual([
    'different: images is not what images.manifest says: 1 missing, 3 different, 1 unreadable of 3 files, 3.00 MiB',
    '  missing: a',
    '  different: b: 1 bytes instead of 4096',
    '  different: c: it is a folder',
    '  unreadable: d: EIO',
    '  different: e: bytes 0 to 9, 20 to 29, 40 to 49 and 1 more range',
  ]);
});

test('twenty problems are shown and the rest is counted', () => {
  const problems = Array.from({ length: 1000 }, (_, at) => ({ path: `f${at}`, problem: 'missing' as const }));
  const lines = treeVerifyLines({ ...whole, same: false, filesMissing: 5000, problems });
  expect(lines).toHaveLength(22);
  expect(lines.at(-1)).toBe('  and 4980 more; --json lists 1000');
});
