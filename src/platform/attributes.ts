/**
 * What a file has besides its bytes: mode, owner, times, extended attributes (access control lists are among them).
 * What cannot be kept on another file system, or by this user, is told in sentences and fails nothing; an error of the
 * storage does, except where it concerns nothing but extended attributes.
 */
import {
  type BigIntStats,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  constants as files,
  fstatSync,
  futimesSync,
  lstatSync,
  openSync,
  utimesSync,
} from 'node:fs';
import { constants } from 'node:os';
import type { FileAttributes, FileTimes } from '../core/endpoint.js';
import { errnoOf } from '../core/errors.js';
import { errnoError, libc, type PathBytes } from './libc.js';
import { decodePath, encodePath, showPath } from './path-bytes.js';

const AT_FDCWD = -100;
const { O_NOFOLLOW } = files;
/** A descriptor of the name itself (open(2)), which Node does not name. */
const O_PATH = 0o10000000;

/** The kernel's own limit of one value and of the list of names (linux/limits.h, XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const KERNEL_BYTES_MAX = 64 * 1024;
/** Of all values of one file. */
const EXTENDED_BYTES_MAX = 4 * 1024 * 1024;
const ACCESS_LIST = 'system.posix_acl_access';

const { ENODATA, EOPNOTSUPP, ENOSYS } = constants.errno;

const ABSENT: ReadonlySet<number> = new Set([-ENODATA, -EOPNOTSUPP, -ENOSYS]);

/** A limit of the file system or of this user, and not a failure of the storage. */
const REFUSED: ReadonlySet<string | undefined> = new Set([
  ...['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL'],
  // An attribute that is larger than the file system has room for beside a file.
  ...['ENOSPC', 'EDQUOT', 'E2BIG', 'ERANGE'],
]);

/** So some programs that serve mounts answer whoever asks for an extended attribute at all: rclone, for example. */
const REFUSED_EXTENDED: ReadonlySet<string | undefined> = new Set([...REFUSED, 'EIO']);

/** One call at a time uses it, and none keeps it. */
let scratch: Buffer | undefined;

/** Of an open file or folder. @throws errno Errors */
export function readAttributes(fd: number): FileAttributes {
  const unread: string[] = [];
  const extended = readExtended(fd, unread);
  return {
    ...plainAttributes(fstatSync(fd, { bigint: true })),
    ...(extended && { extended }),
    ...(unread.length > 0 && { unread }),
  };
}

/** Of a symbolic link itself, which has no mode and, as far as is kept, no extended attributes. @throws errno Errors */
export function readLinkAttributes(path: PathBytes): FileAttributes {
  return plainAttributes(lstatSync(path, { bigint: true }));
}

function plainAttributes(stat: BigIntStats): FileAttributes {
  return {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    accessedNs: String(stat.atimeNs),
    modifiedNs: String(stat.mtimeNs),
  };
}

function readExtended(fd: number, unread: string[]): FileAttributes['extended'] {
  const native = libc();
  if (native === undefined) {
    unread.push('extended attributes were not looked at: that takes koffi, which is not installed here');
    return undefined;
  }
  scratch ??= Buffer.allocUnsafe(KERNEL_BYTES_MAX);
  const listed = native.flistxattr(fd, scratch);
  // A file system without them has nothing to keep.
  if (listed === -EOPNOTSUPP || listed === -ENOSYS) return [];
  const extended: (readonly [string, Uint8Array])[] = [];
  const failed = new Failures('extended attributes could not be read');
  let bytes = 0;
  if (!failed.note('all of them', 'flistxattr', listed)) {
    unread.push(...failed.sentences());
    return undefined;
  }
  for (const name of splitNames(Buffer.from(scratch.subarray(0, listed)))) {
    const length = native.fgetxattr(fd, encodePath(name), scratch);
    if (length === -ENODATA || !failed.note(name, 'fgetxattr', length)) continue;
    bytes += length;
    if (bytes > EXTENDED_BYTES_MAX) failed.note(name, 'fgetxattr', -constants.errno.E2BIG);
    else extended.push([name, Uint8Array.from(scratch.subarray(0, length))]);
  }
  unread.push(...failed.sentences());
  return extended;
}

function splitNames(list: Buffer): string[] {
  const names: string[] = [];
  for (let from = 0, to = list.indexOf(0); to >= 0; from = to + 1, to = list.indexOf(0, from)) {
    names.push(decodePath(list.subarray(from, to)));
  }
  return names;
}

/**
 * Gives an open file or folder these attributes, and answers what could not be kept. The owner is kept by root only; a
 * set-user-id or set-group-id bit only together with the owner that it speaks of. Without koffi times are kept to the
 * microsecond. The file has to be writable for its owner until now. @throws errno Errors of the storage
 */
export function applyAttributes(fd: number, attributes: FileAttributes): string[] {
  const notKept = [...(attributes.unread ?? [])];
  const ownerKept = applyOwner(attributes, fstatSync(fd), (uid, gid) => fchownSync(fd, uid, gid), notKept);
  // A change of the owner drops capabilities, and a file that may not be written takes no attributes: so it is these
  // between owner and mode.
  if (attributes.extended) notKept.push(...applyExtended(fd, attributes.extended));
  const mode = ownerKept ? attributes.mode : attributes.mode & ~0o6000;
  attempt('its mode', notKept, () => fchmodSync(fd, mode));
  setTimes(fd, attributes, notKept);
  return notKept;
}

/** The times alone; that they could not be kept is added to `notKept`. @throws errno Errors of the storage */
export function setTimes(fd: number, times: FileTimes, notKept: string[] = []): void {
  attempt('its times', notKept, () => {
    const answer = libc()?.futimens(fd, timespecs(times));
    if (answer === undefined) futimesSync(fd, seconds(times.accessedNs), seconds(times.modifiedNs));
    else if (answer < 0) throw errnoError('futimens', answer);
  });
}

/**
 * The owner and the times of a link itself, never of what it points at, by a descriptor of the link: whatever is put
 * under its name meanwhile keeps its own. Where there are no such descriptors nothing is kept, and that is told.
 * @throws errno Errors of the storage
 */
export function applyLinkAttributes(path: PathBytes, attributes: FileAttributes): string[] {
  if (process.platform !== 'linux') return ['owner and times of a link are kept on Linux only'];
  const notKept: string[] = [];
  const fd = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isSymbolicLink()) throw errnoError('open', -constants.errno.EEXIST, path);
    // Leads to the link that is open, and no further.
    const held = `/proc/self/fd/${fd}`;
    applyOwner(attributes, stat, (uid, gid) => chownSync(held, uid, gid), notKept);
    attempt('its times', notKept, () => {
      const answer = libc()?.utimensat(AT_FDCWD, held, timespecs(attributes), 0);
      if (answer === undefined) utimesSync(held, seconds(attributes.accessedNs), seconds(attributes.modifiedNs));
      else if (answer < 0) throw errnoError('utimensat', answer, path);
    });
  } finally {
    closeSync(fd);
  }
  return notKept;
}

/** Whether the file belongs to whom the attributes say. That a user may give nothing away is no news to that user. */
function applyOwner(
  { uid, gid }: FileAttributes,
  now: { readonly uid: number; readonly gid: number },
  change: (uid: number, gid: number) => void,
  notKept: string[],
): boolean {
  if (now.uid === uid && now.gid === gid) return true;
  if (process.geteuid?.() !== 0) return false;
  return attempt('its owner', notKept, () => change(uid, gid));
}

const NS = 1_000_000_000n;

/** Nanoseconds count upwards from the second before, before 1970 too. */
function timespecs({ accessedNs, modifiedNs }: FileTimes): Buffer {
  const parts = [BigInt(accessedNs), BigInt(modifiedNs)].flatMap((ns) => {
    const rest = ((ns % NS) + NS) % NS;
    return [(ns - rest) / NS, rest];
  });
  const cells = BigInt64Array.from(parts);
  return Buffer.from(cells.buffer);
}

/** The middle of the microsecond: a number of seconds falls a little short of it, and what is below is cut off. */
function seconds(ns: string): number {
  return (Number(BigInt(ns) / 1000n) + 0.5) / 1e6;
}

function applyExtended(fd: number, extended: NonNullable<FileAttributes['extended']>): string[] {
  const native = libc();
  const failed = new Failures('extended attributes could not be kept');
  if (native === undefined) {
    for (const [name] of extended) failed.note(name, 'fsetxattr', -ENOSYS);
    return failed.sentences();
  }
  // A new file may have got a list from its folder, which would let in whom the source did not.
  if (!extended.some(([name]) => name === ACCESS_LIST)) {
    const answer = native.fremovexattr(fd, ACCESS_LIST);
    if (!ABSENT.has(answer)) failed.note(ACCESS_LIST, 'fremovexattr', answer);
  }
  for (const [name, value] of extended) {
    const answer = native.fsetxattr(fd, encodePath(name), Buffer.from(value));
    if (answer < 0 && isPrivileged(name) && process.geteuid?.() !== 0) continue;
    failed.note(name, 'fsetxattr', answer);
  }
  return failed.sentences();
}

/** Kept by whoever may; that a user may not is no news to that user. */
function isPrivileged(name: string): boolean {
  return name.startsWith('security.') || name.startsWith('trusted.');
}

function attempt(what: string, notKept: string[], change: () => void): boolean {
  try {
    change();
    return true;
  } catch (thrown) {
    const code = errnoOf(thrown);
    if (!REFUSED.has(code)) throw thrown;
    notKept.push(`${what} could not be kept (${code})`);
    return false;
  }
}

/** Gathers refused names by their errno, so that a hundred attributes make one sentence. */
class Failures {
  readonly #what: string;
  readonly #names = new Map<string, string[]>();

  constructor(what: string) {
    this.#what = what;
  }

  /** True: the call went well. @throws errno Errors that are no refusal */
  note(name: string, syscall: string, answer: number): boolean {
    if (answer >= 0) return true;
    const error = errnoError(syscall, answer);
    const code = error.code as string;
    if (!REFUSED_EXTENDED.has(code)) throw error;
    this.#names.set(code, [...(this.#names.get(code) ?? []), showPath(name)]);
    return false;
  }

  sentences(): string[] {
    return [...this.#names].map(([code, names]) => `${this.#what} (${code}): ${shortList(names)}`);
  }
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
