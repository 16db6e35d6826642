import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WriteThrough } from '../../../src/platform/write-through.js';
import { bytesOf, scratchFolder, switchNative } from '../../support/copying.js';

test('what is waited for is in the file, and a range that is not there may be waited for too', () => {
  const path = join(scratchFolder(), 'part');
  const fd = openSync(path, 'w');
  const through = WriteThrough.open(path);
  const bytes = bytesOf(100_000, 'a');
  writeSync(fd, bytes);
  through?.wait({ offset: 0, length: bytes.length });
  through?.wait({ offset: 1e9, length: 4096 });
  through?.close();
  through?.close();
  closeSync(fd);
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test('where it cannot be had it is left out', () => {
  expect(WriteThrough.open('/no/such/file')).toBeUndefined();
  switchNative('1');
  expect(WriteThrough.open('/dev/null')).toBeUndefined();
});
