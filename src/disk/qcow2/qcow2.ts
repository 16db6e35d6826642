/** Reads QCOW2 images. */
import { diskError } from '../disk-bytes.js';
import type { ImageFormat } from '../image.js';

export const qcow2: ImageFormat = {
  open: async (bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'qcow2');
  },
  attach: (_, bytes) => {
    throw diskError(bytes.name, 'format', 0, 'another format', 'qcow2');
  },
  check: async () => undefined,
};
