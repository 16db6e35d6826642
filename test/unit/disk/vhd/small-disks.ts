/** VHDs of a few small blocks, one of each kind, so that every moment of a change to them can be looked at. */
import type { ByteRange } from '../../../../src/core/chunk.js';
import type { DiskBytes, Finding } from '../../../../src/disk/image.js';
import { encodeVhdFooter, fixedVhdFooter } from '../../../../src/disk/vhd/footer.js';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { contentOf } from '../../../support/image-file.js';
import { memoryDisk } from '../../../support/memory-disk.js';
import { Seeded } from '../../../support/seeded.js';
import { vhdImage, windowsPath } from '../../../support/vhd-images.js';

export const BLOCK = 4096;
export const SIZE = 10 * BLOCK - 512;
export const id = (fill: number): Buffer => Buffer.alloc(16, fill);

const BASE = new Seeded(7).bytes(SIZE);

export function smallDisks(seeded: Seeded): Readonly<Record<'fixed' | 'dynamic' | 'differencing', Buffer>> {
  const data = seeded.bytes(BLOCK);
  const footer = fixedVhdFooter({ sizeBytes: SIZE, uniqueId: id(1), createdAtMs: Date.UTC(2020, 1) });
  return {
    fixed: Buffer.concat([seeded.bytes(SIZE), encodeVhdFooter(footer)]),
    dynamic: vhdImage({
      size: SIZE,
      blockBytes: BLOCK,
      id: id(1),
      blocks: new Map([
        [4, { data }],
        [1, { data: Buffer.concat([data.subarray(0, 1024), Buffer.alloc(BLOCK - 1024)]), sectors: [0, 1] }],
      ]),
    }),
    differencing: vhdImage({
      size: SIZE,
      blockBytes: BLOCK,
      id: id(1),
      parent: { id: id(9), name: 'base.vhd', locators: [['W2ru', windowsPath('.\\base.vhd')]] },
      blocks: new Map([
        [5, { data, sectors: [0, 3, 4] }],
        [2, { data }],
      ]),
    }),
  };
}

/** What a guest reads of the disk; below a differencing one lies a base full of data. */
export async function read(content: Uint8Array): Promise<Buffer> {
  const bytes = memoryDisk(content);
  const image = await vhd.open(bytes);
  const base = {
    ...image,
    *runs({ offset, length }: ByteRange) {
      yield { kind: 'data', length, at: offset } as const;
    },
  };
  return contentOf([
    { image, bytes },
    { image: base, bytes: memoryDisk(BASE) },
  ]);
}

export async function findings(bytes: DiskBytes): Promise<Finding[]> {
  const found: Finding[] = [];
  await vhd.check(bytes, { add: (finding) => found.push(finding) });
  return found;
}
