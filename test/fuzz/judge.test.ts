/** The judge itself: what it must not let pass, shown on images whose readers were made to fail. */
import { expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { MiB } from '../../src/core/units.js';
import type { DiskBytes } from '../../src/disk/image.js';
import { SparseContent } from '../support/sparse-content.js';
import { type Damaged, judge } from './judge.js';

const content = SparseContent.of(8192, [{ offset: 0, bytes: Buffer.alloc(4096, 7) }]);
const right = content.slice({ offset: 0, length: 8192 });

/** A raw disk, whose reading is whatever `read` does. */
function rawDisk(read: DiskBytes['read'], more: Partial<Damaged> = {}): Damaged {
  const bytes: DiskBytes = { name: 'image', size: 8192, read };
  return { bytes, format: 'raw', under: [], parentName: '', content, changed: content, theirs: [], ...more };
}

const give =
  (bytes: Buffer) =>
  async ({ offset, length }: { offset: number; length: number }) =>
    Buffer.from(bytes.subarray(offset, offset + length));

test('bytes that are right are right', async () => {
  expect(await judge(rawDisk(give(right)))).toMatchObject({ kind: 'same' });
});

test('wrong bytes fail, unless another program reads the same', async () => {
  const other = SparseContent.of(8192, [{ offset: 4096, bytes: Buffer.alloc(512, 1) }]);
  const read = give(other.slice({ offset: 0, length: 8192 }));
  expect(await judge(rawDisk(read))).toMatchObject({ kind: 'failed' });
  expect(await judge(rawDisk(read, { theirs: [async () => content] }))).toMatchObject({ kind: 'failed' });
  expect(await judge(rawDisk(read, { theirs: [async () => other] }))).toMatchObject({ kind: 'agreed' });
});

test('bytes that the damage changed must be read as they are now', async () => {
  const changed = content.patched(0, Buffer.alloc(16, 1));
  expect(await judge(rawDisk(give(right), { changed }))).toMatchObject({ kind: 'failed' });
  const now = give(changed.slice({ offset: 0, length: 8192 }));
  expect(await judge(rawDisk(now, { changed }))).toMatchObject({ kind: 'payload' });
});

test('an error that is none of ours, or that names no place, fails', async () => {
  const fail = (thrown: Error) => judge(rawDisk(() => Promise.reject(thrown)));
  expect(await fail(new TypeError('x is undefined'))).toMatchObject({ kind: 'failed' });
  expect(await fail(new TransferError('E_DISK_FORMAT', 'bad'))).toMatchObject({ kind: 'failed' });
  // check, which reads nothing of a raw disk, has found nothing.
  expect(await fail(new TransferError('E_DISK_FORMAT', 'bad at byte 7'))).toMatchObject({ kind: 'failed' });
});

test('memory beyond the bound fails, whatever is read', async () => {
  const { watchAllocations } = await import('./allocations.js');
  watchAllocations();
  const read = give(right);
  const greedy: DiskBytes['read'] = (range) => {
    Buffer.allocUnsafe(65 * MiB);
    return read(range);
  };
  expect(await judge(rawDisk(greedy))).toMatchObject({
    kind: 'failed',
    why: expect.stringMatching(/a buffer of 68157440/),
  });
});
