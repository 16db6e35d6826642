/** Reads VHDX images. */
import { diskError } from '../disk-bytes.js';
import type { ImageFormat } from '../image.js';

export const vhdx: ImageFormat = {
  open: async (bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'vhdx');
  },
  attach: (_, bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'vhdx');
  },
  check: async () => undefined,
};
