/** Lays a new fixed VHD out: the disk's bytes, and the footer behind them. */
import { diskError } from '../disk-bytes.js';
import type { Layout, LayoutFormat, LayoutPlan } from '../layout.js';
import { encodeVhdFooter, fixedVhdFooter, VHD_FOOTER_BYTES, VHD_SECTOR_BYTES, VHD_SIZE_BYTES_MAX } from './footer.js';

export const fixedVhdLayout: LayoutFormat = {
  blockBytesFor: (size) => {
    vhdSizeFor(size);
    return 0;
  },
  layOut: (plan: LayoutPlan): Layout => {
    const size = vhdSizeFor(plan.size);
    return {
      size,
      fileBytes: size + VHD_FOOTER_BYTES,
      *places({ offset, length }) {
        yield { length, at: offset };
      },
      *finish() {
        yield [{ at: size, bytes: encodeVhdFooter(fixedVhdFooter({ ...plan, sizeBytes: size })) }];
      },
    };
  },
};

/** Whole sectors. @throws TransferError E_DISK_FORMAT when no VHD has that size */
export function vhdSizeFor(bytes: number): number {
  const size = Math.ceil(bytes / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
  if (size > 0 && size <= VHD_SIZE_BYTES_MAX) return size;
  throw diskError('VHD', 'size', 0, `a disk of 1 byte to 2040 GiB (${VHD_SIZE_BYTES_MAX} bytes)`, `${bytes} bytes`);
}
