/** A raw disk is laid out as it is. */
import type { Layout, LayoutFormat, LayoutPlan } from './layout.js';

export const rawLayout: LayoutFormat = {
  blockBytesFor: () => 0,
  layOut: ({ size }: LayoutPlan): Layout => ({
    size,
    fileBytes: size,
    *places({ offset, length }) {
      yield { length, at: offset };
    },
    finish: () => [],
  }),
};
