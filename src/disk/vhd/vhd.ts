/** Reads VHD images. */
import { diskError } from '../disk-bytes.js';
import type { ImageFormat } from '../image.js';

export const vhd: ImageFormat = {
  open: async (bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'vhd');
  },
  attach: (_, bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'vhd');
  },
  check: async () => undefined,
};
