/** Translates what a server refuses into Blockferry's codes, with the file named and the way out said. */
import { type ErrorCode, TransferError } from '../../core/errors.js';
import { StatusError } from './channel.js';
import { STATUS } from './wire.js';

type Doing =
  | 'open-source'
  | 'read-source'
  | 'locate-target'
  | 'open-target'
  | 'write-target'
  | 'flush-target'
  | 'commit-target';

type Meaning = readonly [code: ErrorCode, what: string, hint: string];

const KEPT = 'What was copied is kept; the same command goes on from there.';
const RIGHTS = 'Check the permissions there of the file and of the folders above it.';

/** By what was being done, then by the status; 0 stands for every other one. */
const MEANINGS: Readonly<Record<Doing, Readonly<Record<number, Meaning>>>> = {
  'open-source': {
    [STATUS.noSuchFile]: ['E_SOURCE_MISSING', 'no such file', 'Check the path.'],
    [STATUS.permissionDenied]: ['E_SOURCE_ACCESS', 'the source cannot be opened', RIGHTS],
    0: ['E_SOURCE_ACCESS', 'cannot open the source', 'See what the server says.'],
  },
  'read-source': {
    [STATUS.noSuchFile]: ['E_SOURCE_CHANGED', 'the source is gone', 'Copy what is there now with --discard.'],
    [STATUS.permissionDenied]: ['E_SOURCE_ACCESS', 'the source cannot be read', RIGHTS],
    0: ['E_SOURCE_READ', 'cannot read the source', `See what the server says. ${KEPT}`],
  },
  'locate-target': {
    [STATUS.noSuchFile]: ['E_TARGET_FOLDER', 'the folder of the target does not exist', 'Make the folder there first.'],
    [STATUS.permissionDenied]: ['E_TARGET_ACCESS', 'cannot look at the target', `${RIGHTS} Nothing was changed.`],
    0: ['E_TARGET_ACCESS', 'cannot look at the target', 'See what the server says. Nothing was changed.'],
  },
  'open-target': {
    [STATUS.noSuchFile]: ['E_PART_LOST', 'the partial copy is gone', 'The copy begins afresh.'],
    [STATUS.permissionDenied]: ['E_TARGET_ACCESS', 'the target cannot be written', `${RIGHTS} Nothing was changed.`],
    0: ['E_TARGET_ACCESS', 'cannot open the target', 'See what the server says. Nothing was changed.'],
  },
  'write-target': {
    [STATUS.noSuchFile]: [
      'E_TARGET_CHANGED',
      'the partial copy was removed while it was written',
      'Nothing was put under the name of the target. Find out what cleans that folder, then copy again.',
    ],
    0: ['E_TARGET_WRITE', 'cannot write to the target', `See what the server says. ${KEPT}`],
  },
  'flush-target': {
    0: ['E_TARGET_WRITE', 'the server could not make written data durable', `See the log of its storage. ${KEPT}`],
  },
  'commit-target': {
    [STATUS.permissionDenied]: ['E_TARGET_ACCESS', 'cannot give the finished copy its name', `${RIGHTS} ${KEPT}`],
    0: ['E_TARGET_WRITE', 'cannot give the finished copy its name', `See what the server says. ${KEPT}`],
  },
};

const STATUS_NAMES: Readonly<Record<number, string>> = {
  [STATUS.eof]: 'end of file',
  [STATUS.noSuchFile]: 'no such file',
  [STATUS.permissionDenied]: 'permission denied',
  [STATUS.failure]: 'failure',
  [STATUS.unsupported]: 'not supported',
};

export function sftpError(
  doing: Doing,
  name: string,
  thrown: unknown,
  at?: { readonly offset: number },
): TransferError {
  if (!(thrown instanceof StatusError)) return TransferError.from(thrown);
  const meanings = MEANINGS[doing];
  const [code, what, hint] = meanings[thrown.status] ?? (meanings[0] as Meaning);
  const where = at === undefined ? '' : ` at byte ${at.offset}`;
  const said = thrown.message || STATUS_NAMES[thrown.status] || 'nothing';
  return new TransferError(code, `${name}: ${what}${where} (the server says: ${said})`, { hint, cause: thrown, ...at });
}

/** The work, with what the server refuses translated. */
export async function doing<T>(what: Doing, name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw sftpError(what, name, thrown);
  }
}

export function isMissing(thrown: unknown): boolean {
  return thrown instanceof StatusError && thrown.status === STATUS.noSuchFile;
}

/** What the work answers; undefined where the server has no such file. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}
