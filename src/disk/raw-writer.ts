/** Writes into a raw image in place: every byte has its place, so there is nothing to mark and nothing to publish. */
import type { ByteRange } from '../core/chunk.js';
import { diskError } from './disk-bytes.js';
import type { DiskFile, ImageWriter, Place } from './image-writer.js';

export function rawWriter(file: DiskFile): ImageWriter {
  const { size } = file;
  return {
    size,
    begin: () => undefined,
    place: ({ offset, length }: ByteRange): Iterable<Place> => {
      if (offset >= 0 && length >= 0 && offset <= size - length) return length === 0 ? [] : [{ length, at: offset }];
      throw diskError(file.name, 'guest bytes', offset, `a range inside the disk of ${size} bytes`, `${length} bytes`);
    },
    publish: () => undefined,
    finish: () => file.flush(),
  };
}
