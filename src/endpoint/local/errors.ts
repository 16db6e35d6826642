/** Translates errno into Blockferry's codes at the local border, with the file named and the way out said. */
import { type ErrorCode, errnoOf, TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';

type Doing =
  | 'open-source'
  | 'read-source'
  | 'locate-target'
  | 'open-target'
  | 'write-target'
  | 'flush-target'
  | 'commit-target';

const KEPT = 'What was copied is kept; the same command goes on from there.';
const SPACE: readonly [ErrorCode, string] = ['E_NO_SPACE', `Free some space, then run the same command again. ${KEPT}`];
const ACCESS: readonly [ErrorCode, string] = [
  'E_TARGET_ACCESS',
  'It was left as it was. Check the permissions, then run it again.',
];
const GONE: readonly [ErrorCode, string] = [
  'E_TARGET_FOLDER',
  'Make the folder first; of a path only the last folder is made, and that only for several files or with -r.',
];
const LARGE: readonly [ErrorCode, string] = [
  'E_TOO_LARGE',
  'The file system or a limit (ulimit -f) allows no file of this size.',
];

/** What a disk that fails and a mount whose server is away have in common: it may be well the next time. */
function away(code: ErrorCode): Readonly<Record<string, readonly [ErrorCode, string]>> {
  const errnos = ['EIO', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTCONN', 'ECONNRESET', 'ESTALE'];
  const hint = 'See to the storage or the mount (the kernel log may say more), then run the same command again.';
  return Object.fromEntries(errnos.map((errno) => [errno, [code, hint]]));
}

const OPEN_TARGET: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ...away('E_TARGET_WRITE'),
  ENOENT: GONE,
  ENOTDIR: GONE,
  EACCES: ACCESS,
  EPERM: ACCESS,
  EROFS: ACCESS,
  EBUSY: ['E_TARGET_ACCESS', 'The device is mounted or in use. Unmount it, or choose another.'],
  ENAMETOOLONG: ['E_TARGET_ACCESS', 'Choose a shorter name.'],
  ELOOP: [
    'E_PART_UNSAFE',
    'A symbolic link stands where the partial copy belongs. See who put it there, then remove it.',
  ],
  ENOSPC: SPACE,
  EDQUOT: SPACE,
  EFBIG: LARGE,
  EISDIR: ['E_PART_UNSAFE', 'A folder stands where the partial copy belongs. See who put it there, then remove it.'],
};

const BY_ERRNO: Readonly<Record<Doing, Readonly<Record<string, readonly [ErrorCode, string]>>>> = {
  'open-source': {
    ...away('E_SOURCE_READ'),
    ENOENT: ['E_SOURCE_MISSING', 'Check the path.'],
    ENOTDIR: ['E_SOURCE_MISSING', 'Check the path: something in it is not a folder.'],
    ENAMETOOLONG: ['E_SOURCE_MISSING', 'The name is longer than the file system allows.'],
    ELOOP: ['E_SOURCE_KIND', 'The symbolic links of this path lead in a circle.'],
    EACCES: ['E_SOURCE_ACCESS', 'Check the permissions of the file and of the folders above it.'],
    EPERM: ['E_SOURCE_ACCESS', 'Check the permissions of the file and of the folders above it.'],
  },
  'read-source': {},
  'locate-target': {
    ...OPEN_TARGET,
    ELOOP: ['E_TARGET_FOLDER', 'The symbolic links of this path lead in a circle.'],
  },
  'open-target': OPEN_TARGET,
  'write-target': { ENOSPC: SPACE, EDQUOT: SPACE, EFBIG: LARGE },
  'flush-target': { ENOSPC: SPACE, EDQUOT: SPACE },
  'commit-target': {
    ENOSPC: SPACE,
    EDQUOT: SPACE,
    EPERM: [
      'E_TARGET_ACCESS',
      `The file there has an owner whom only root can give to the copy. Remove it, or copy as root. ${KEPT}`,
    ],
  },
};

const OTHERWISE: Readonly<Record<Doing, readonly [ErrorCode, string, string]>> = {
  'open-source': ['E_SOURCE_ACCESS', 'cannot open the source', 'See the cause below.'],
  'read-source': ['E_SOURCE_READ', 'cannot read the source', `See the kernel log for the device. ${KEPT}`],
  'locate-target': ['E_TARGET_ACCESS', 'cannot look at the target', 'See the cause below. Nothing was changed.'],
  'open-target': ['E_TARGET_ACCESS', 'cannot open the target', 'See the cause below. Nothing was changed.'],
  'write-target': ['E_TARGET_WRITE', 'cannot write to the target', `See the kernel log for the device. ${KEPT}`],
  'flush-target': [
    'E_FLUSH',
    'the storage could not make written data durable',
    `See the kernel log for the device. ${KEPT}`,
  ],
  'commit-target': ['E_TARGET_WRITE', 'cannot give the finished copy its name', KEPT],
};

export function localError(
  doing: Doing,
  path: string,
  thrown: unknown,
  at?: { readonly offset: number },
): TransferError {
  if (thrown instanceof TransferError) return thrown;
  const errno = errnoOf(thrown);
  if (errno === undefined) return TransferError.from(thrown);
  const [fallbackCode, what, fallbackHint] = OTHERWISE[doing];
  const [code, hint] = BY_ERRNO[doing][errno] ?? [fallbackCode, fallbackHint];
  const where = at === undefined ? '' : ` at byte ${at.offset}`;
  const message = `${showPath(path)}: ${REASONS[code] ?? what}${where} (${errno})`;
  return new TransferError(code, message, { hint, cause: thrown, ...at });
}

const REASONS: Readonly<Partial<Record<ErrorCode, string>>> = {
  E_SOURCE_MISSING: 'no such file',
  E_SOURCE_ACCESS: 'the source cannot be opened',
  E_NO_SPACE: 'no space left for the target',
  E_TARGET_FOLDER: 'the folder of the target cannot be reached',
  E_TARGET_ACCESS: 'the target cannot be written',
  E_TOO_LARGE: 'too large for the target',
  E_PART_UNSAFE: 'is not a partial copy that Blockferry made',
};
