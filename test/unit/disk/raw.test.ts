import { expect, test } from 'vitest';
import { attachImage, openImage } from '../../../src/disk/formats.js';
import { raw } from '../../../src/disk/raw.js';
import { rawLayout } from '../../../src/disk/raw-layout.js';
import { Seeded } from '../../support/seeded.js';
import { memoryBytes } from './qcow2/images.js';
import { CuttableFile } from './qcow2/merging.js';

test('a raw disk is written where its bytes are, zeroes too', async () => {
  const file = new CuttableFile(Buffer.alloc(4096, 7), new Seeded(1));
  const writer = await raw.openWriter?.(file);
  writer?.begin([{ offset: 512, length: 1024 }]);
  expect([...(writer?.place({ offset: 512, length: 1024 }, 'data') ?? [])]).toEqual([{ at: 512, length: 1024 }]);
  expect([...(writer?.place({ offset: 0, length: 512 }, 'zero') ?? [])]).toEqual([{ at: 0, length: 512 }]);
  expect(() => writer?.place({ offset: 4000, length: 512 }, 'data')).toThrow('a range inside the disk of 4096 bytes');
  writer?.publish();
  writer?.finish();
  expect(file.left.equals(Buffer.alloc(4096, 7))).toBe(true);
});

test('a raw disk lays all bytes out at their own places and adds none', () => {
  const plan = { kind: 'raw', size: 2 ** 50, uniqueId: new Uint8Array(16), createdAtMs: 0, blockBytes: 0 } as const;
  const layout = rawLayout.layOut({ ...plan, allocated: new Uint8Array() });
  expect(rawLayout.blockBytesFor(2 ** 50)).toBe(0);
  expect(layout).toMatchObject({ size: 2 ** 50, fileBytes: 2 ** 50 });
  expect([...layout.places({ offset: 2 ** 49, length: 2 ** 40 })]).toEqual([{ at: 2 ** 49, length: 2 ** 40 }]);
  expect([...layout.finish()]).toEqual([]);
});

test('a raw image is all data where nothing is known of holes, and says so when it is attached elsewhere', async () => {
  const image = await openImage(memoryBytes(Buffer.alloc(1000, 1)));
  expect(image).toMatchObject({ format: 'raw', size: 1000, blockBytes: 0 });
  for (const same of [image, await attachImage(image.ref, memoryBytes(Buffer.alloc(1000, 1)))]) {
    expect([...(same.allocation({ offset: 10, length: 100 }) as Iterable<unknown>)]).toEqual([
      { kind: 'data', length: 100 },
    ]);
  }
});
