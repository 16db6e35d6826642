/** What the file of the qcow2 format offers (docs/interop/qcow2 of QEMU). */
import type { ImageFormat } from '../image.js';
import { attachQcow2, openQcow2 } from './qcow2-image.js';

export const qcow2: ImageFormat = {
  open: openQcow2,
  attach: attachQcow2,
  check: async () => undefined,
};
