/** What stands under a name of the target already: whether it may give way to what is copied. */
import type { BigIntStats } from 'node:fs';
import { TransferError } from '../core/errors.js';
import { targetExists } from './local-part.js';

/** `known`: an earlier run finished a file of this name. @throws TransferError E_TARGET_KIND, E_TARGET_EXISTS */
export function assertReplaceable(
  shown: string,
  there: BigIntStats,
  { overwrite, known }: { readonly overwrite: boolean; readonly known: () => boolean },
): void {
  if (there.isDirectory()) {
    throw new TransferError('E_TARGET_KIND', `${shown} is a folder, and the source has a file or a link there`, {
      hint: 'It was left as it is. Move it away, or choose another target.',
    });
  }
  if (overwrite) return;
  if (!known()) throw targetExists(shown);
  throw new TransferError('E_TARGET_EXISTS', `${shown} was copied before, but since then one of the two was changed`, {
    hint: 'It was left as it is. Say --overwrite to bring it up to date.',
  });
}
