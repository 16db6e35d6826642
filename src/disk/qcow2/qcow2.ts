/** What the file of the qcow2 format offers (docs/interop/qcow2 of QEMU). */
import type { ImageFormat } from '../image.js';
import { checkQcow2 } from './check.js';
import { attachQcow2, openQcow2 } from './qcow2-image.js';
import { repointQcow2 } from './repoint.js';
import { openQcow2Writer } from './writer.js';

export const qcow2: ImageFormat = {
  open: openQcow2,
  attach: attachQcow2,
  check: checkQcow2,
  openWriter: openQcow2Writer,
  repoint: repointQcow2,
};
