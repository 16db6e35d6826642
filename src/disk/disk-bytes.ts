/** The bytes of a container, read by ranges from any source, within bounds that hold for every format. */
import type { ByteRange } from '../core/chunk.js';
import type { Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { NEVER } from '../core/stop.js';
import { formatBytes, MiB } from '../core/units.js';
import type { DiskBytes, Finding } from './image.js';

const READ_BYTES_MAX = 16 * MiB;

export function diskBytes(
  source: Pick<Source, 'name' | 'size' | 'openChunk' | 'extents'>,
  signal: AbortSignal = NEVER,
): DiskBytes {
  const { name, size } = source;
  return {
    name,
    size,
    read: async (range, what) => {
      assertInside(range, what, { name, size });
      const into = Buffer.alloc(range.length);
      if (range.length === 0) return into;
      const reader = source.openChunk(range, signal);
      try {
        for (let at = 0; at < into.length; ) at += await reader.next(into.subarray(at));
      } finally {
        reader.close();
      }
      return into;
    },
    ...(source.extents && { extents: (range: ByteRange) => source.extents?.(range, signal) ?? [] }),
  };
}

export function assertInside(
  { offset, length }: ByteRange,
  what: string,
  { name, size }: Pick<DiskBytes, 'name' | 'size'>,
): void {
  if (length > READ_BYTES_MAX) {
    throw diskError(name, what, offset, `at most ${formatBytes(READ_BYTES_MAX)}`, `${length} bytes`);
  }
  // The end is compared without a sum, which could lose its last bits.
  const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset <= size - length;
  if (!inside) throw diskError(name, what, offset, `${length} bytes inside the file`, `a file of ${size} bytes`);
}

/** What is wrong with a structure of a disk image, and where. */
export function diskError(
  name: string,
  what: string,
  offset: number | bigint,
  expected: string,
  found: string,
  cause?: unknown,
): TransferError {
  const hint = 'The image is damaged, cut short, or of another kind. blockferry disk check tells all that is wrong.';
  return new TransferError(
    'E_DISK_FORMAT',
    `${name}: ${what} at byte ${offset}: expected ${expected}, found ${found}`,
    { hint, cause },
  );
}

/** Of an image that must not be written to as its last writer left it. Its content is right, and QEMU can mend it. */
export function notClosed(name: string, what: string, offset: number, found: string): TransferError {
  const hint = [
    'Start the machine that it belongs to once and shut it down, or let QEMU mend it: qemu-img check -r all <image>',
    'Then run the same command again. Nothing was changed. To read it, nothing needs to be done.',
  ].join('\n');
  return hinted(diskError(name, what, offset, 'an image that was closed', found), hint);
}

/** What other programs read: it is no damage, and as a file it is copied as any other. */
export class UnsupportedImage extends TransferError {}

export function unsupportedImage(
  name: string,
  what: string,
  offset: number,
  expected: string,
  found: string,
): UnsupportedImage {
  const { code, message } = diskError(name, what, offset, expected, found);
  return new UnsupportedImage(code, message, {
    hint: 'This version does not read such images. "qemu-img convert" makes one of it that is read here.',
  });
}

export const unsupported = ({ message }: UnsupportedImage): Finding => ({
  code: 'unsupported',
  severity: 'doubtful',
  message,
});

export function hinted({ code, message, cause }: TransferError, hint: string): TransferError {
  return new TransferError(code, message, { hint, cause });
}
