/** Translates errno of the benchmark's own file calls into Blockferry's codes, with the way out said. */
import { type ErrorCode, errnoOf, TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';

type Doing = 'look' | 'read' | 'write';

const DENIED: readonly (string | undefined)[] = ['EACCES', 'EPERM', 'EROFS'];
const FULL: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT'];

const OTHERWISE: Readonly<Record<Doing, readonly [ErrorCode, string]>> = {
  look: ['E_SOURCE_ACCESS', 'cannot be looked at'],
  read: ['E_SOURCE_READ', 'cannot be read'],
  write: ['E_TARGET_WRITE', 'cannot be written'],
};

/** An errno Error as a TransferError; a TransferError as it is. */
export function measureError(doing: Doing, path: string, thrown: unknown): TransferError {
  const errno = errnoOf(thrown);
  if (thrown instanceof TransferError || errno === undefined) return TransferError.from(thrown);
  const fail = (code: ErrorCode, what: string, hint: string): TransferError =>
    new TransferError(code, `${showPath(path)} ${what} (${errno})`, { hint, cause: thrown });
  if (doing === 'write' && DENIED.includes(errno)) {
    const hint = 'Choose a folder that you may write to, or name a file or a device in it: those are only read.';
    return fail('E_TARGET_ACCESS', 'cannot hold a scratch file', hint);
  }
  if (FULL.includes(errno)) {
    return fail('E_NO_SPACE', 'has no space left for the scratch file', 'Free some space, or give a smaller --size.');
  }
  if (DENIED.includes(errno)) return fail('E_SOURCE_ACCESS', 'cannot be opened', 'Check the permissions.');
  const [code, what] = OTHERWISE[doing];
  return fail(code, what, 'See the kernel log for the device. Nothing of yours was changed.');
}
