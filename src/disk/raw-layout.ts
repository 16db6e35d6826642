/** A raw disk: each byte of the guest at its own place, and nothing else. What was not written is a hole. */
import type { LayoutFormat } from './layout.js';

export const rawLayout: LayoutFormat = {
  blockBytesFor: () => 0,
  layOut: ({ size }) => ({
    size,
    fileBytes: size,
    places: ({ offset, length }) => (length === 0 ? [] : [{ length, at: offset }]),
    finish: () => [],
  }),
};
