/** VHDX images, by [MS-VHDX] version 2: fixed, dynamic and differencing. */
import type { ImageFormat } from '../image.js';
import { checkVhdx } from './check.js';
import { VhdxImage, type VhdxRef } from './image.js';
import { openVhdx } from './open.js';
import { repointVhdx } from './repoint.js';
import { openVhdxWriter } from './writer.js';

export const vhdx: ImageFormat = {
  open: async (bytes) => new VhdxImage(await openVhdx(bytes), bytes),
  attach: (ref, bytes) => new VhdxImage(ref as VhdxRef, bytes),
  check: checkVhdx,
  openWriter: openVhdxWriter,
  repoint: repointVhdx,
};
