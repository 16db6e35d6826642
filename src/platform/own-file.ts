/**
 * Tells a file that this user's Blockferry made from one that was planted where it would be. Where a mount maps owners
 * (root_squash, vfat, bindfs) our own files do not show our uid: then a file that is made there now tells which uid
 * they show, and only that one counts as ours.
 */
import { type BigIntStats, constants } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { errnoOf } from '../core/errors.js';
import type { FileLayer } from './file-layer.js';
import { encodePath } from './path-bytes.js';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
/** A file without a name (open(2)), which Node does not name either; its other bit is O_DIRECTORY, which varies. */
const O_TMPFILE = 0o20000000 | O_DIRECTORY;

/**
 * What is wrong with an opened part or journal, as the end of a sentence; undefined when it can be ours. `anyOwner`: it
 * is known by something better than its owner.
 * @param folder where it stands
 */
export function whyNotOurs(files: FileLayer, folder: string, stat: BigIntStats, anyOwner = false): string | undefined {
  if (!stat.isFile()) return 'is not a regular file';
  if (stat.nlink > 1n) return 'has other names (hard links)';
  if (anyOwner || isOurUid(files, folder, stat.uid)) return undefined;
  return `belongs to uid ${stat.uid}, not to uid ${process.geteuid?.()}`;
}

/** Whether what we make in that folder shows this uid; true where there are no uids. */
export function isOurUid(files: FileLayer, folder: string, shown: bigint): boolean {
  const uid = process.geteuid?.();
  return uid === undefined || shown === BigInt(uid) || shown === uidOfOurs(files, folder);
}

let probes = 0;

/** The uid that a file shows which we make in that folder; undefined where we cannot make one. */
function uidOfOurs(files: FileLayer, folder: string): bigint | undefined {
  const nameless = uidOfNameless(files, folder);
  if (nameless !== undefined) return nameless;
  const path = encodePath(`${folder}/.${process.pid}-${threadId}-${probes++}.blockferry-probe`);
  let fd: number | undefined;
  try {
    fd = files.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    return files.fstat(fd).uid;
  } catch (thrown) {
    // Whatever keeps us from making it: then nothing shows that the file is ours.
    if (errnoOf(thrown) === undefined) throw thrown;
    return undefined;
  } finally {
    if (fd !== undefined) {
      files.closeSync(fd);
      files.unlinkSync(path);
    }
  }
}

/** Nothing of it is left behind, whatever ends us; undefined where only a file with a name can be made. */
function uidOfNameless(files: FileLayer, folder: string): bigint | undefined {
  if (process.platform !== 'linux') return undefined;
  let fd: number | undefined;
  try {
    fd = files.openSync(encodePath(folder), O_WRONLY | O_TMPFILE, 0o600);
    return files.fstat(fd).uid;
  } catch (thrown) {
    // Where the folder itself is the trouble, the file with a name meets it again.
    if (errnoOf(thrown) === undefined) throw thrown;
    return undefined;
  } finally {
    if (fd !== undefined) files.closeSync(fd);
  }
}
