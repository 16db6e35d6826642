/** VHD images (Virtual Hard Disk Image Format Specification, Microsoft, October 2006): what the format offers. */
import type { ImageFormat } from '../image.js';
import { attachVhd, openVhd, type VhdRef } from './vhd-image.js';

export const vhd: ImageFormat = {
  open: async (bytes) => attachVhd(await openVhd(bytes), bytes),
  attach: (ref, bytes) => attachVhd(ref as VhdRef, bytes),
  check: async (bytes, found) => (await import('./check.js')).checkVhd(bytes, found),
  openWriter: async (file) => (await import('./open-for-writing.js')).openVhdWriter(file),
  repoint: async (file, parent) => (await import('./repoint.js')).repointVhd(file, parent),
};
