/** A raw image: the guest's bytes and nothing else. */
import type { ByteRange } from '../core/chunk.js';
import type { DiskBytes, DiskImage, ImageFormat } from './image.js';
import { rawWriter } from './raw-writer.js';

const SECTOR_BYTES = 512;

function rawImage({ size, extents }: DiskBytes): DiskImage {
  const allocation: DiskImage['allocation'] = (range) => extents?.(range) ?? [{ kind: 'data', length: range.length }];
  return {
    ref: { format: 'raw' },
    format: 'raw',
    kind: 'raw',
    size,
    blockBytes: 0,
    *runs({ offset, length }: ByteRange) {
      yield { kind: 'data', length, at: offset };
    },
    allocation,
  };
}

export const raw: ImageFormat = {
  open: async (bytes) => rawImage(bytes),
  attach: (_, bytes) => rawImage(bytes),
  check: async (bytes, found) => {
    const { size } = bytes;
    // Whoever says that it is raw may be wrong.
    await (await import('./vhd/check.js')).checkFixedAsRaw(bytes, found);
    if (size % SECTOR_BYTES === 0) return;
    const message = `the size, ${size} bytes, is no multiple of a sector of ${SECTOR_BYTES} bytes`;
    found.add({ code: 'raw-size', severity: 'doubtful', message });
  },
  openWriter: async (file) => rawWriter(file),
};
