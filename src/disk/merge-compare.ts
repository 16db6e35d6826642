/** Whether an image adds anything to what its parent shows already: asked where its merge is on record as done. */
import { MiB } from '../core/units.js';
import { type ChainLink, DiskChain } from './chain.js';
import { heldIn } from './held-map.js';
import { contentOf } from './merge-pieces.js';

const PIECE_BYTES = MiB;

/** `passed`: called for each piece; what it throws ends this. */
export async function addsNothing(chain: DiskChain, passed: () => void): Promise<boolean> {
  const [child, ...others] = chain.links as [ChainLink, ChainLink, ...ChainLink[]];
  const parents = new DiskChain(others as [ChainLink, ...ChainLink[]]);
  const { image } = child;
  for await (const held of heldIn(image, image.size)) {
    const end = held.offset + held.length;
    for (let offset = held.offset; offset < end; offset += PIECE_BYTES) {
      passed();
      const range = { offset, length: Math.min(PIECE_BYTES, end - offset) };
      const shown = await contentOf(parents, range);
      if (!Buffer.from(shown).equals(await contentOf(chain, range))) return false;
    }
  }
  return true;
}
