/** Where partial data is, as far as only a journal knows it. A journal that says nothing is as good as none. */
import { TransferError } from '../core/errors.js';
import type { TargetLayout } from '../core/target.js';
import type { JournalContent } from '../journal/journal.js';

type Peeked = JournalContent | undefined;

/** @param peek reads the journal */
export async function layoutOnRecord(peek: () => Peeked | Promise<Peeked>): Promise<TargetLayout | undefined> {
  try {
    return (await peek())?.header.layout;
  } catch (thrown) {
    if (thrown instanceof TransferError && thrown.code.startsWith('E_JOURNAL')) return undefined;
    throw thrown;
  }
}
