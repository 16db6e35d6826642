/** A container as the disk formats take it, from a real file; and the content that a guest would see, byte by byte. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { MiB } from '../../src/core/units.js';
import { diskError } from '../../src/disk/disk-bytes.js';
import type { DiskBytes, DiskImage } from '../../src/disk/image.js';
import type { DiskFile } from '../../src/disk/image-writer.js';

const READ_BYTES_MAX = 16 * MiB;

export interface ImageFile extends DiskFile {
  close(): void;
}

/** Opened for reading and writing. */
export function imageFile(path: string): ImageFile {
  const fd = openSync(path, 'r+');
  const size = (): number => fstatSync(fd).size;
  const readNow: DiskFile['readNow'] = ({ offset, length }, what) => {
    const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset <= size() - length;
    if (length > READ_BYTES_MAX) throw new Error(`${what}: ${length} bytes in one go`);
    if (!inside) throw diskError(path, what, offset, `${length} bytes inside the file`, `a file of ${size()} bytes`);
    const into = Buffer.alloc(length);
    for (let at = 0; at < length; ) at += readSync(fd, into, at, length - at, offset + at);
    return into;
  };
  return {
    name: path,
    get size() {
      return size();
    },
    read: async (range, what) => readNow(range, what),
    readNow,
    write: (at, bytes) => {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
    },
    flush: () => fsyncSync(fd),
    setSize: (bytes) => ftruncateSync(fd, bytes),
    close: () => closeSync(fd),
  };
}

/** What a guest reads of the disk: of a chain, the child first. What the last image leaves open is zero. */
export async function contentOf(
  chain: readonly { readonly image: DiskImage; readonly bytes: DiskBytes }[],
  range = { offset: 0, length: chain[0]?.image.size ?? 0 },
): Promise<Buffer> {
  const [first, ...parents] = chain;
  const into = Buffer.alloc(range.length);
  if (!first) return into;
  let at = 0;
  for await (const run of first.image.runs(range)) {
    const place = { offset: range.offset + at, length: run.length };
    if (run.kind === 'data') {
      for (let done = 0; done < run.length; done += READ_BYTES_MAX) {
        const length = Math.min(READ_BYTES_MAX, run.length - done);
        into.set(await first.bytes.read({ offset: run.at + done, length }, 'data'), at + done);
      }
    } else if (run.kind === 'made') into.set(await run.make(), at);
    else if (run.kind === 'absent') into.set(await contentOf(parents, place), at);
    at += run.length;
  }
  if (at !== range.length) throw new Error(`runs of ${at} bytes for a range of ${range.length}`);
  return into;
}
