/** What is left as it is: above all what stands under a name of the target already and may not give way. */
import type { BigIntStats } from 'node:fs';
import { type ErrorCode, TransferError } from '../../core/errors.js';
import { targetExists } from './part.js';

/** Left as it was, for a reason that running again does not change. */
export const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['E_TARGET_EXISTS', 'E_TARGET_KIND', 'E_SOURCE_KIND', 'E_PART_UNSAFE'] as const),
]);

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
