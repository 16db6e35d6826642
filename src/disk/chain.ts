/**
 * A disk as its guest sees it: an image and the parents that it builds on, the child first. A chain answers for every
 * byte which image holds it.
 */
import type { ByteRange } from '../core/chunk.js';
import type { Allocation, DiskBytes, DiskImage, Run } from './image.js';

export interface ChainLink {
  readonly image: DiskImage;
  readonly bytes: DiskBytes;
}

/** A run, and which link of the chain holds it: an index into the links. */
export type ChainRun =
  | (Run & { readonly kind: 'data'; readonly link: number })
  | (Run & { readonly kind: 'zero' | 'made' });

/** `link`: which image says so; absent: no image has anything there. */
export type ChainAllocation = Allocation & { readonly kind: 'data' | 'zero'; readonly link?: number };

export class DiskChain {
  readonly links: readonly ChainLink[];
  /** Bytes that the guest sees: the child's. */
  readonly size: number;

  constructor(links: readonly [ChainLink, ...ChainLink[]]) {
    this.links = links;
    this.size = links[0].image.size;
  }

  /** In order and without gaps. What the last image leaves open is zero. */
  runs(range: ByteRange): AsyncIterable<ChainRun> {
    return this.#runs(range, 0);
  }

  /** What the tables alone tell, in order and without gaps. */
  allocation(range: ByteRange): AsyncIterable<ChainAllocation> {
    return this.#allocation(range, 0);
  }

  async *#runs(range: ByteRange, link: number): AsyncIterable<ChainRun> {
    const image = this.links[link]?.image;
    const inside = Math.max(0, Math.min(range.length, (image?.size ?? 0) - range.offset));
    if (inside < range.length) {
      if (inside > 0) yield* this.#runs({ offset: range.offset, length: inside }, link);
      yield { kind: 'zero', length: range.length - inside };
      return;
    }
    if (!image || range.length === 0) return;
    let { offset } = range;
    for await (const run of image.runs(range)) {
      if (run.kind === 'absent') yield* this.#runs({ offset, length: run.length }, link + 1);
      else yield run.kind === 'data' ? { ...run, link } : run;
      offset += run.length;
    }
  }

  async *#allocation(range: ByteRange, link: number): AsyncIterable<ChainAllocation> {
    const image = this.links[link]?.image;
    const inside = Math.max(0, Math.min(range.length, (image?.size ?? 0) - range.offset));
    if (inside < range.length) {
      if (inside > 0) yield* this.#allocation({ offset: range.offset, length: inside }, link);
      yield { kind: 'zero', length: range.length - inside };
      return;
    }
    if (!image || range.length === 0) return;
    let { offset } = range;
    for await (const { kind, length } of image.allocation(range)) {
      if (kind === 'absent') yield* this.#allocation({ offset, length }, link + 1);
      else yield { kind, length, link };
      offset += length;
    }
  }
}
