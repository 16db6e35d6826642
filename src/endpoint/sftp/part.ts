/**
 * The hidden part beside a target on a server: made, opened again, and given its name (crash contract, rules 1, 6 and
 * 7), with the extensions that the server has, or, where it lacks them, in a way of which the lack is told.
 */
import { posix } from 'node:path';
import type { EndpointRef } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import type { CommitRequest, PartMark, PreparedTarget, PrepareRequest } from '../../core/target.js';
import { hiddenName } from '../../platform/hidden-name.js';
import { PART_SUFFIX } from '../part-names.js';
import { fileNameAt, type SftpAddress } from './address.js';
import type { Secrets } from './auth.js';
import { StatusError } from './channel.js';
import { ifThere } from './errors.js';
import { closeQuietly } from './file.js';
import type { Handle, SftpSession } from './session.js';
import { identityAt, nanoseconds } from './source.js';
import { isTagged, tagPart, untagged } from './tag.js';
import { EXTENSION, kindOf, OPEN, type RemoteStat } from './wire.js';

export const READ_WRITE = OPEN.read | OPEN.write;

export interface SftpTargetRef extends EndpointRef {
  readonly address: SftpAddress;
  readonly secrets: Secrets;
  /** In a folder without links. */
  readonly path: string;
}

export interface SftpPreparedRef extends SftpTargetRef {
  readonly size: number;
  /** Each chunk is made durable when it is finished. */
  readonly sync: boolean;
  /** By which the part is told from every other file of its name. */
  readonly tag?: number;
  /** It was made by this run, which reads nothing of it while it is written. */
  readonly created: boolean;
}

export function partAt(path: string): string {
  return posix.join(posix.dirname(path), hiddenName(posix.basename(path), PART_SUFFIX));
}

export async function preparePart(
  session: SftpSession,
  ref: SftpTargetRef,
  { size, partial, sync }: PrepareRequest,
): Promise<PreparedTarget> {
  const path = partAt(ref.path);
  const name = fileNameAt(ref.address, path);
  const creates = partial === 'create';
  if (creates) await createPart(session, path, size, name);
  else {
    assertPart(name, await session.lstat(path));
    await withFile(session, path, async (handle) => {
      await session.fsetstat(handle, { mode: 0o600 }).catch(unlessRefused);
      await setSize(session, handle, size, name);
    });
  }
  const tag = await tagPart(session, path).catch(unlessRefused);
  if (creates && sync) await syncFolder(session, posix.dirname(path));
  const prepared: SftpPreparedRef = { ...ref, size, sync, created: creates, ...(tag !== undefined && { tag }) };
  return { ref: prepared, identity: identityAt(ref.address, path), zeroed: creates };
}

async function createPart(session: SftpSession, path: string, size: number, name: string): Promise<void> {
  const handle = await session.open(path, READ_WRITE | OPEN.create | OPEN.exclusive, { mode: 0o600 });
  try {
    await session.fsetstat(handle, { mode: 0o600 }).catch(unlessRefused);
    await setSize(session, handle, size, name);
    await session.closeHandle(handle);
    // Servers of other storages may know a file only as they were given it in one piece.
    await withFile(session, path, (again) => assertSize(session, again, size, name));
  } catch (thrown) {
    await closeQuietly(session, handle);
    // A part without a journal would look like somebody else's.
    await session.remove(path).catch(unlessRefused);
    throw thrown;
  }
}

/** For what is done at once; the file is closed after it. */
async function withFile<T>(session: SftpSession, path: string, work: (handle: Handle) => Promise<T>): Promise<T> {
  const handle = await session.open(path, READ_WRITE);
  try {
    return await work(handle);
  } finally {
    await closeQuietly(session, handle);
  }
}

/** A link or a folder in its place could carry our bytes to where they do not belong. */
export function assertPart(name: string, stat: RemoteStat): void {
  if (kindOf(stat) === 'file') return;
  throw new TransferError('E_PART_UNSAFE', `${name} is no file; Blockferry made no such thing and won't write to it`, {
    hint: 'See who put it there, then remove it. Nothing was changed.',
  });
}

/** What is never written has to read as zero, up to the end: a server that does not set sizes gets a last byte. */
async function setSize(session: SftpSession, handle: Handle, size: number, name: string): Promise<void> {
  if ((await session.fstat(handle)).size === size) return;
  await session.fsetstat(handle, { size }).catch(unlessRefused);
  if ((await session.fstat(handle)).size === size) return;
  await session.write(handle, new Uint8Array(1), size - 1, handle);
  await assertSize(session, handle, size, name);
}

async function assertSize(session: SftpSession, handle: Handle, size: number, name: string): Promise<void> {
  const now = (await session.fstat(handle)).size;
  if (now === size) return;
  throw new TransferError('E_TARGET_WRITE', `${name}: the server made a file of ${now} bytes, and not of ${size}`, {
    hint: 'It may not be able to write at any place of a file, as is needed here. Nothing was put under the name.',
  });
}

/** Servers refuse what they cannot do with one status or another. */
export function unlessRefused(thrown: unknown): void {
  if (!(thrown instanceof StatusError)) throw thrown;
}

/** OpenSSH opens folders like files, and so their names can be made durable. Answers whether it has let us. */
export async function withFolder(
  session: SftpSession,
  folder: string,
  work: (handle: Handle) => Promise<void>,
): Promise<boolean> {
  let handle: Handle | undefined;
  try {
    handle = await session.open(folder, OPEN.read);
    await work(handle);
    return true;
  } catch (thrown) {
    unlessRefused(thrown);
    return false;
  } finally {
    if (handle) await closeQuietly(session, handle);
  }
}

/** Makes the names in it durable, where the server can; where it cannot, that was told. */
export async function syncFolder(session: SftpSession, folder: string): Promise<void> {
  if (session.has(EXTENSION.fsync)) await withFolder(session, folder, (handle) => session.fsync(handle));
}

/** @throws TransferError E_TARGET_EXISTS */
export async function publish(session: SftpSession, ref: SftpTargetRef, request: CommitRequest): Promise<void> {
  const { path } = ref;
  const part = partAt(path);
  if (request.overwrite) await replace(session, part, path);
  else if (!(await link(session, part, path))) await renameNew(session, ref, part);
  if (request.sync) await syncFolder(session, posix.dirname(path));
}

/** The renaming may have happened, or a link without its removal, or nothing: the mark tells which. */
export async function finishPublishing(
  session: SftpSession,
  ref: SftpTargetRef,
  { mark, sync }: { readonly mark: PartMark; readonly sync: boolean },
): Promise<boolean> {
  const { path } = ref;
  const part = partAt(path);
  const target = await ifThere(session.lstat(path));
  if (!target || kindOf(target) !== 'file') return false;
  const now = markOf(target, ref);
  if (Object.entries(now).some(([key, value]) => mark[key as keyof PartMark] !== value)) return false;
  if (await ifThere(session.lstat(part))) {
    if (!(await isSameFile(session, part, path))) return false;
    await session.remove(part);
  }
  if (isTagged(target)) await session.setstat(path, untagged(target)).catch(unlessRefused);
  if (sync) await syncFolder(session, posix.dirname(path));
  return true;
}

async function replace(session: SftpSession, part: string, path: string): Promise<void> {
  if (session.has(EXTENSION.posixRename)) return session.posixRename(part, path);
  // The note of the lack has said that there is a moment without either.
  if (await ifThere(session.lstat(path))) await session.remove(path);
  await session.rename(part, path);
}

/** Answers whether it has the name: some file systems know no second name of a file. */
async function link(session: SftpSession, part: string, path: string): Promise<boolean> {
  if (!session.has(EXTENSION.hardlink)) return false;
  try {
    await session.hardlink(part, path);
  } catch (thrown) {
    unlessRefused(thrown);
    return false;
  }
  await session.remove(part);
  return true;
}

/** Some servers replace what stands there, so it is looked at first. */
async function renameNew(session: SftpSession, { address, path }: SftpTargetRef, part: string): Promise<void> {
  if (await ifThere(session.lstat(path))) throw targetExists(fileNameAt(address, path));
  await session.rename(part, path);
}

export async function markAt(session: SftpSession, handle: Handle, ref: SftpTargetRef): Promise<PartMark> {
  return markOf(await session.fstat(handle), ref);
}

function markOf({ size = -1, modifiedSeconds = 0 }: RemoteStat, { address, path }: SftpTargetRef): PartMark {
  return { ...identityAt(address, partAt(path)), size, mtimeNs: String(nanoseconds(modifiedSeconds)) };
}

/**
 * Whether two names are of one file, which the protocol does not tell: a time that is set under one of them shows under
 * the other.
 */
async function isSameFile(session: SftpSession, one: string, other: string): Promise<boolean> {
  const { accessedSeconds = 0, modifiedSeconds = 0 } = await session.lstat(one);
  const setTime = (seconds: number) => session.setstat(one, { accessedSeconds, modifiedSeconds: seconds });
  await setTime(modifiedSeconds + 1);
  try {
    return (await session.lstat(other)).modifiedSeconds === modifiedSeconds + 1;
  } finally {
    await setTime(modifiedSeconds);
  }
}

export function targetExists(name: string): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${name} exists already and was left as it is`, {
    hint: 'Say --overwrite to replace it, once the new copy is complete and proven, or choose another target.',
  });
}

export function vanished(name: string): TransferError {
  return new TransferError(
    'E_TARGET_CHANGED',
    `the partial copy ${name} was removed or replaced while it was written`,
    {
      hint: 'Nothing was put under the name of the target. Find out what cleans that folder, then copy again.',
    },
  );
}
