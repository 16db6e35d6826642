/**
 * The hidden part beside a local target: made, opened again, told from planted files and from its like, and given its
 * name (crash contract, rules 1, 6 and 7).
 */
import { type BigIntStats, constants } from 'node:fs';
import { dirname } from 'node:path';
import { type EndpointRef, type FileIdentity, sameIdentity } from '../../core/endpoint.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { CommitRequest, PartMark, PreparedTarget, PrepareRequest } from '../../core/target.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { whyNotOurs } from '../../platform/own-file.js';
import { decodePath, encodePath, type PathBytes, showPath } from '../../platform/path-bytes.js';
import { journalPath, partPath } from '../part-names.js';
import { localError } from './errors.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** open(2): node:fs has no name for it. */
const O_PATH = 0o10000000;

/** A located target: the path of the file, with links in its folder left as they are. */
export interface LocalTargetRef extends EndpointRef {
  readonly path: string;
  readonly kind: 'file' | 'device';
}

export interface PreparedRef extends LocalTargetRef {
  readonly fd: number;
  /** What is written to: the part, or the device itself. */
  readonly writtenPath: string;
}

export function identityOf(stat: BigIntStats): FileIdentity {
  return { device: String(stat.dev), inode: String(stat.ino) };
}

export function markOf(stat: BigIntStats): PartMark {
  return { ...identityOf(stat), size: Number(stat.size), mtimeNs: String(stat.mtimeNs) };
}

export function sameMark(a: PartMark, b: PartMark): boolean {
  return sameIdentity(a, b) && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

export function preparePart(files: FileLayer, ref: LocalTargetRef, request: PrepareRequest): PreparedTarget {
  const path = partPath(ref.path);
  const flags = O_RDWR | O_NOFOLLOW | (request.partial === 'create' ? O_CREAT | O_EXCL : 0);
  let fd: number | undefined;
  try {
    const creates = request.partial === 'create';
    fd = creates ? files.openSync(encodePath(path), flags, 0o600) : reopen(files, path, flags, request.committed);
    const stat = files.fstat(fd);
    if (stat.size !== BigInt(request.size)) files.ftruncateSync(fd, request.size);
    if (request.sync && request.partial === 'create') files.syncFolder(encodePath(dirname(path)));
    const prepared: PreparedRef = { ...ref, fd, writtenPath: path };
    return { ref: prepared, identity: identityOf(stat), zeroed: request.partial === 'create' };
  } catch (thrown) {
    if (fd !== undefined) files.closeSync(fd);
    // A part without a journal would look like somebody else's.
    if (fd !== undefined && request.partial === 'create') files.unlinkSync(encodePath(path));
    throw localError('open-target', path, thrown);
  }
}

/**
 * A commit that did not come through may have given the part an owner and permissions, such as some that shut us out:
 * it is an unfinished file again, and ours alone.
 */
function reopen(files: FileLayer, path: string, flags: number, committed: FileIdentity | undefined): number {
  const fd = openedInSpite(files, path, flags, committed);
  try {
    const stat = files.fstat(fd);
    const given = whyNotOurs(files, dirname(path), stat) !== undefined;
    if (given) files.fchownSync(fd, process.geteuid?.() ?? 0, process.getegid?.() ?? 0);
    if (given || (stat.mode & 0o6600n) !== 0o600n) files.fchmodSync(fd, 0o600);
    return fd;
  } catch (thrown) {
    files.closeSync(fd);
    throw thrown;
  }
}

/** A descriptor without rights (O_PATH) tells whose the file is, and no other one can slip under it. */
function openedInSpite(files: FileLayer, path: string, flags: number, committed: FileIdentity | undefined): number {
  try {
    return opened(files, path, flags, committed);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EACCES' || process.platform !== 'linux') throw thrown;
  }
  const fd = opened(files, path, O_PATH | O_NOFOLLOW, committed);
  try {
    files.chmodSync(`/proc/self/fd/${fd}`, 0o600);
  } finally {
    files.closeSync(fd);
  }
  return opened(files, path, flags, committed);
}

function opened(files: FileLayer, path: string, flags: number, committed: FileIdentity | undefined): number {
  const fd = files.openSync(encodePath(path), flags | O_NONBLOCK);
  try {
    const stat = files.fstat(fd);
    assertOurs(files, path, stat, sameIdentity(committed, identityOf(stat)));
    return fd;
  } catch (thrown) {
    files.closeSync(fd);
    throw thrown;
  }
}

/** A part that somebody else made, or that has a second name, could carry our bytes to where they do not belong. */
function assertOurs(files: FileLayer, path: string, stat: BigIntStats, committed: boolean): void {
  const wrong = whyNotOurs(files, dirname(path), stat, committed);
  if (wrong === undefined) return;
  throw new TransferError(
    'E_PART_UNSAFE',
    `${showPath(path)} ${wrong}; Blockferry made no such file and won't write to it`,
    {
      hint: 'See who put it there, then remove it. Nothing was changed.',
    },
  );
}

/**
 * What takes the place of a file gets its owner and permissions, as if it had been written over; else those of the
 * source. With attributes they are all the source's; answers which could not be kept.
 */
export function setAccess(files: FileLayer, { fd, path }: PreparedRef, request: CommitRequest): readonly string[] {
  if (request.attributes) return files.applyAttributes(fd, request.attributes);
  const old = request.overwrite ? files.lstat(encodePath(path)) : undefined;
  if (!old?.isFile()) {
    files.fchmodSync(fd, (request.mode ?? 0o666) & ~process.umask());
    return [];
  }
  const { uid, gid } = files.fstat(fd);
  if (uid !== old.uid || gid !== old.gid) files.fchownSync(fd, Number(old.uid), Number(old.gid));
  files.fchmodSync(fd, Number(old.mode & 0o777n));
  return [];
}

export function syncFile(files: FileLayer, fd: number, path: string): void {
  try {
    files.fsyncSync(fd);
  } catch (thrown) {
    throw localError('flush-target', path, thrown);
  }
}

/** Gives the part its name: with `overwrite` by a plain rename, without it only where nothing stands. */
export function publish(files: FileLayer, path: string, request: CommitRequest): void {
  const from = encodePath(partPath(path));
  const to = encodePath(path);
  if (request.overwrite) files.renameSync(from, to);
  else if (files.publishNew(from, to) === 'exists') throw targetExists(path);
  if (request.sync) files.syncFolder(encodePath(dirname(path)));
}

/** The target has its name, and a crash kept its journal from being dropped. */
export function isCommitCutShort(files: FileLayer, target: PathBytes): boolean {
  const path = decodePath(Buffer.from(target));
  return (
    files.lstat(encodePath(journalPath(path))) !== undefined && files.lstat(encodePath(partPath(path))) === undefined
  );
}

export function targetExists(path: string): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${showPath(path)} exists already and was left as it is`, {
    hint: 'Say --overwrite to replace it, once the new copy is complete and proven, or choose another target.',
  });
}

export function vanished(path: string): TransferError {
  return new TransferError(
    'E_TARGET_CHANGED',
    `the partial copy ${showPath(path)} was removed or replaced while it was written`,
    {
      hint: 'Nothing was put under the name of the target. Find out what cleans that folder, then copy again.',
    },
  );
}
