/** Lays a new fixed VHD out: the disk's bytes, and the footer behind them. */
import { TransferError } from '../../core/errors.js';
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

/** Whole sectors. @throws TransferError E_TOO_LARGE when no VHD has that size */
export function vhdSizeFor(bytes: number): number {
  const size = Math.ceil(bytes / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
  if (size > 0 && size <= VHD_SIZE_BYTES_MAX) return size;
  const expected = `a disk of 1 byte to 2040 GiB (${VHD_SIZE_BYTES_MAX} bytes)`;
  throw new TransferError('E_TOO_LARGE', `a VHD holds ${expected}, and this one has ${bytes} bytes`, {
    hint: 'Make a VHDX or a raw disk of it: --to vhdx, --to raw. Nothing was changed.',
  });
}
