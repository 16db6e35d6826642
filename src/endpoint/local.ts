/** Local paths: files, written beside their name and renamed, and block devices, written in place. */
import { constants, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { sha256Hex } from '../core/digest.js';
import { type EndpointRef, type FileIdentity, type Location, sameIdentity } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import {
  CHUNK_LIMITS,
  type CloneProbe,
  type CommitRequest,
  type PartMark,
  type PreparedTarget,
  type PrepareRequest,
  type TargetSite,
} from '../core/target.js';
import type { FileLayer } from '../platform/file-layer.js';
import { deviceBytes, freeBytes, isRemoteFileSystem } from '../platform/file-system.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import { localError } from './local/errors.js';
import {
  identityOf,
  type LocalTargetRef,
  markOf,
  type PreparedRef,
  preparePart,
  publish,
  sameMark,
  syncFile,
} from './local/part.js';
import { isLocalFile, LocalSource, openLocalSource } from './local/source.js';
import { LocalTarget } from './local/target.js';
import { journalPath, partPath } from './part-names.js';
import type { EndpointScheme } from './registry.js';
import { makeStateFolder } from './state-folder.js';

const { O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

export function localScheme(files: FileLayer): EndpointScheme {
  return {
    openSource: async (location) => openLocalSource(files, location),
    openCommittedSource: async (ref) => {
      const { scheme, path } = ref as LocalTargetRef;
      return openLocalSource(files, { scheme, text: path, name: showPath(path) });
    },
    attachSource: (ref) => new LocalSource(files, ref as LocalSource['ref']),
    locateTarget: async (location, sourceName) => locate(files, location, sourceName),
    probeClone: (source, target) => probeClone(files, source, target as LocalTargetRef),
    prepareTarget: async (ref, request) => prepare(files, ref as LocalTargetRef, request),
    attachTarget: (ref) => new LocalTarget(files, ref as PreparedRef),
    discardPartial: async (ref) => discard(files, ref as LocalTargetRef),
    finishCommit: async (ref, part, request) => finish(files, ref as LocalTargetRef, part, request),
    trees: async () => new (await import('./local/tree.js')).LocalTrees(files),
  };
}

function locate(files: FileLayer, location: Location, sourceName: string): TargetSite {
  const given = location.text;
  try {
    if (location.links === 'refuse') return fileSite(files, resolve(given), location.shown);
    const there = files.stat(encodePath(given));
    if (there?.isBlockDevice()) return deviceSite(realpathSync.native(encodePath(given), 'buffer'), identityOf(there));
    if (there?.isDirectory()) return fileSite(files, resolve(given, nameInFolder(given, sourceName)));
    if (given.endsWith('/')) throw folderMissing(given);
    return fileSite(files, resolve(given));
  } catch (thrown) {
    throw localError('locate-target', given, thrown);
  }
}

/** The name may come from a server: it must not lead anywhere else. */
function nameInFolder(folder: string, name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  const message = `${showPath(folder)} is a folder, and the source has no name that could be used inside it`;
  throw new TransferError('E_USAGE', message, { hint: 'Give the target a file name. Nothing was changed.' });
}

function folderMissing(path: string): TransferError {
  return new TransferError('E_TARGET_FOLDER', `${showPath(path)}: the folder of the target does not exist`, {
    hint: 'Make the folder first; of a path only the last folder is made, and that only for several files or with -r.',
  });
}

function fileSite(files: FileLayer, path: string, shown = showPath(path)): TargetSite {
  const folder = files.stat(encodePath(dirname(path)));
  if (!folder?.isDirectory()) throw folderMissing(dirname(path));
  const there = files.lstat(encodePath(path));
  if (there && !there.isFile() && !there.isSymbolicLink()) {
    throw new TransferError(
      'E_TARGET_KIND',
      `${showPath(path)} is ${there.isDirectory() ? 'a folder' : 'a special file'}`,
      {
        hint: 'Choose another target. Nothing was changed.',
      },
    );
  }
  const part = files.lstat(encodePath(partPath(path)));
  const free = freeBytes(encodePath(dirname(path)));
  const ref: LocalTargetRef = { scheme: 'file', kind: 'file', path };
  return {
    ref,
    name: shown,
    fileName: basename(path),
    journalPath: journalPath(path),
    publish: 'atomic',
    limits: CHUNK_LIMITS,
    writesPerWorker: 2,
    ...(there && { existing: identityOf(there) }),
    ...(there?.isFile() && { adopts: true }),
    ...(part && { partial: { identity: identityOf(part), allocatedBytes: Number(part.blocks) * 512 } }),
    ...(free !== undefined && { freeBytes: free }),
  };
}

/** Links are followed first, so that all names of a device find the same journal. */
function deviceSite(real: Buffer, identity: FileIdentity): TargetSite {
  const path = decodePath(real);
  const ref: LocalTargetRef = { scheme: 'file', kind: 'device', path };
  const name = sha256Hex(real).slice(0, 32);
  const folder = makeStateFolder('devices');
  return {
    ref,
    name: showPath(path),
    fileName: basename(path),
    journalPath: join(folder, `${name}.blockferry-journal`),
    publish: 'in-place',
    limits: CHUNK_LIMITS,
    writesPerWorker: 2,
    existing: identity,
    partial: { identity, allocatedBytes: 0 },
  };
}

function probeClone(files: FileLayer, source: EndpointRef, target: LocalTargetRef): CloneProbe {
  if (!isLocalFile(source)) return { refused: 'the source is no local file' };
  if (target.kind === 'device') return { refused: 'a device has no blocks that it could share with a file' };
  return files.probeClone(source.fds[0] as number, source.size, encodePath(dirname(target.path)));
}

function prepare(files: FileLayer, ref: LocalTargetRef, request: PrepareRequest): PreparedTarget {
  return ref.kind === 'file' ? preparePart(files, ref, request) : openDevice(files, ref, request);
}

/**
 * O_EXCL on a block device fails with EBUSY when it is mounted or claimed (open(2)). Its content is never assumed to be
 * zero.
 */
function openDevice(files: FileLayer, ref: LocalTargetRef, request: PrepareRequest): PreparedTarget {
  try {
    const bytes = deviceBytes(encodePath(ref.path));
    const fd = files.openSync(encodePath(ref.path), O_RDWR | O_EXCL);
    if (bytes < request.size) {
      files.closeSync(fd);
      const message = `${showPath(ref.path)} has ${bytes} bytes; the source needs ${request.size}`;
      throw new TransferError('E_TOO_LARGE', message, { hint: 'Choose a larger device. Nothing was changed.' });
    }
    const prepared: PreparedRef = { ...ref, fd, writtenPath: ref.path };
    return { ref: prepared, identity: identityOf(files.fstat(fd)), zeroed: false };
  } catch (thrown) {
    throw localError('open-target', ref.path, thrown);
  }
}

function discard(files: FileLayer, ref: LocalTargetRef): void {
  if (ref.kind === 'device') return;
  const path = partPath(ref.path);
  try {
    if (files.lstat(encodePath(path))) files.unlinkSync(encodePath(path));
  } catch (thrown) {
    throw localError('open-target', path, thrown);
  }
}

/** The rename may have happened, or a link without its unlink, or nothing: the recorded mark tells which. */
function finish(files: FileLayer, ref: LocalTargetRef, part: PartMark, request: CommitRequest): boolean {
  if (ref.kind === 'device') return false;
  const target = files.lstat(encodePath(ref.path));
  // An inode number comes again, and a target may have been written to since.
  if (!target || !(sameMark(part, markOf(target)) || sameButForMount(part, markOf(target), ref.path))) return false;
  // The run that was cut short may have been one without flushes.
  if (request.sync) syncPath(files, ref.path);
  const left = files.lstat(encodePath(partPath(ref.path)));
  const linked = left !== undefined && sameIdentity(identityOf(target), identityOf(left));
  if (linked) publish(files, ref.path, { ...request, overwrite: false });
  else if (request.sync) files.syncFolder(encodePath(dirname(ref.path)));
  return left === undefined || linked;
}

/**
 * A network or FUSE mount may number its files anew: there size and time are the mark, if times are no whole seconds.
 * What is finer than a millisecond some mounts show only when they have it from the server.
 */
function sameButForMount(part: PartMark, there: PartMark, path: string): boolean {
  const [partMs, thereMs] = [part, there].map(({ mtimeNs }) => BigInt(mtimeNs) / 1_000_000n) as [bigint, bigint];
  const alike = part.size === there.size && partMs === thereMs && partMs % 1000n !== 0n;
  return alike && isRemoteFileSystem(encodePath(dirname(path)));
}

function syncPath(files: FileLayer, path: string): void {
  const fd = files.openSync(encodePath(path), O_RDONLY | O_NOFOLLOW);
  try {
    syncFile(files, fd, path);
  } finally {
    files.closeSync(fd);
  }
}
