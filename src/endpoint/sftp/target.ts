/**
 * A file of a server as a target: written at its places into a hidden part, which gets the name when it is proven. A
 * chunk is durable when it is finished, by a flush of the very handle that wrote it: neither a lost connection nor a
 * server that was started anew can take it back unseen, and a checkpoint has nothing more to wait for.
 */
import { posix } from 'node:path';
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader, FileAttributes, FileTimes } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import type { ChunkWriter, CommitRequest, PartMark, Target } from '../../core/target.js';
import { KiB } from '../../core/units.js';
import { fileNameAt } from './address.js';
import { again } from './again.js';
import { ChunkRequests } from './chunk.js';
import type { SftpClient } from './client.js';
import { doing, ifThere, sftpError } from './errors.js';
import { closeQuietly, type OpenFile, RemoteFile } from './file.js';
import {
  assertPart,
  finishPublishing,
  markAt,
  partAt,
  publish,
  READ_WRITE,
  type SftpPreparedRef,
  unlessRefused,
  vanished,
} from './part.js';
import type { Handle, SftpSession } from './session.js';
import { untagged } from './tag.js';
import { EXTENSION, kindOf, type RemoteStat } from './wire.js';

const ZEROES = new Uint8Array(256 * KiB);
const SECOND_NS = 1_000_000_000n;

export class SftpTarget implements Target {
  readonly ref: SftpPreparedRef;
  readonly #client: SftpClient;
  readonly #name: string;
  readonly #partName: string;
  readonly #part: string;
  readonly #file: RemoteFile;

  constructor(client: SftpClient, ref: SftpPreparedRef) {
    this.ref = ref;
    this.#client = client;
    this.#part = partAt(ref.path);
    this.#name = fileNameAt(ref.address, ref.path);
    this.#partName = fileNameAt(ref.address, this.#part);
    this.#file = new RemoteFile({
      path: this.#part,
      flags: READ_WRITE,
      session: () => client.session(ref.address),
      check: (session, handle) => this.#check(session, handle),
    });
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkWriter {
    const chunk = new ChunkRequests(signal);
    let position = range.offset;
    let file: OpenFile | undefined;
    const write = async (block: Uint8Array, at: number): Promise<void> => {
      file = await this.#sameFile(chunk, file);
      await file.session.write(file.handle, block, at, chunk);
    };
    const finish = async (): Promise<undefined> => {
      if (file && this.#syncs(file)) await chunk.unlessStopped(this.#sync(await this.#sameFile(chunk, file)));
      chunk.end();
    };
    return {
      write: (block) => {
        const at = position;
        position += block.length;
        return write(block, at).catch((thrown) => this.#writeFailed(thrown, at));
      },
      skip: (length) => {
        position += length;
      },
      finish: () => finish().catch((thrown) => this.#writeFailed(thrown, range.offset)),
      abort: () => chunk.end(),
    };
  }

  async zero(range: ByteRange): Promise<void> {
    const writer = this.openChunk(range, new AbortController().signal);
    try {
      for (let done = 0; done < range.length; done += ZEROES.length) {
        await writer.write(ZEROES.subarray(0, range.length - done));
      }
      await writer.finish(new Uint8Array(0));
    } catch (thrown) {
      writer.abort();
      throw thrown;
    }
  }

  openChunkBack(range: ByteRange, signal: AbortSignal): ChunkReader {
    const end = range.offset + range.length;
    const chunk = new ChunkRequests(signal);
    let position = range.offset;
    const next = async (into: Uint8Array): Promise<number> => {
      const block = into.subarray(0, Math.min(into.length, end - position));
      if (block.length === 0) return 0;
      const { session, handle } = await chunk.opened(this.#file);
      const got = await session.read(handle, block, position, chunk);
      position += got;
      if (position === end) await this.#tagAgain(session, handle, chunk);
      return got;
    };
    return {
      next: (into) => next(into).catch((thrown) => Promise.reject(this.#writeError(thrown, position))),
      close: () => chunk.end(),
    };
  }

  /** Every chunk was made durable when it was finished, where the server can do that. */
  async flush(): Promise<void> {
    return undefined;
  }

  mark(times?: FileTimes): Promise<PartMark> {
    return again(() => this.#mark(times));
  }

  #mark(times: FileTimes | undefined): Promise<PartMark> {
    return this.#once(async (session, handle) => {
      const { tag } = this.ref;
      if (times)
        await session.fsetstat(handle, { ...secondsOf(times), ...(tag !== undefined && { accessedSeconds: tag }) });
      return markAt(session, handle, this.ref);
    });
  }

  async commit(request: CommitRequest): Promise<readonly string[]> {
    let mark: PartMark | undefined;
    let notKept: readonly string[] = [];
    await again(async () => {
      // The connection may have broken when the part had its name already.
      if (mark && (await this.#isPublished(mark, request))) return;
      await this.#once(async (session, handle) => {
        this.#assertOurs((await ifThere(session.lstat(this.#part))) ?? {});
        notKept = await this.#setAccess(session, handle, request);
        if (request.sync && session.has(EXTENSION.fsync)) await session.fsync(handle);
        mark = await markAt(session, handle, this.ref);
        await publish(session, this.ref, request);
        if (this.ref.tag === undefined) return;
        const stat = untagged(await session.fstat(handle), request.attributes && secondsOf(request.attributes));
        await session.fsetstat(handle, stat).catch(unlessRefused);
      });
    });
    return notKept;
  }

  detach(): Promise<void> {
    return this.#file.close();
  }

  close(): Promise<void> {
    return this.detach();
  }

  /** A chunk that was begun with one opening of the part cannot be finished with another: bytes may be lost between. */
  async #sameFile(chunk: ChunkRequests, begun: OpenFile | undefined): Promise<OpenFile> {
    if (begun?.session.lost) throw new TransferError('E_NETWORK', `${this.#name}: the connection was lost`);
    if (begun?.isVoid) throw this.#notDurable();
    return begun ?? (await chunk.opened(this.#file));
  }

  #syncs({ session }: OpenFile): boolean {
    return this.ref.sync && session.has(EXTENSION.fsync);
  }

  async #sync(file: OpenFile): Promise<void> {
    await doing('flush-target', this.#partName, () => file.sync());
    // One that failed for others before may have been ours, too.
    if (file.isVoid) throw this.#notDurable();
  }

  #notDurable(): TransferError {
    return new TransferError('E_TARGET_WRITE', `${this.#partName}: the server could not make written data durable`, {
      hint: 'It is written again. See the log of its storage.',
    });
  }

  /** A full disk is a failure like any other to SFTP, so it is asked how much room there is. */
  async #writeFailed(thrown: unknown, offset: number): Promise<never> {
    const error = this.#writeError(thrown, offset);
    if (error.code !== 'E_TARGET_WRITE') throw error;
    const session = await this.#client.session(this.ref.address);
    const free = await session.freeBytes(posix.dirname(this.#part));
    if (free === undefined || free >= ZEROES.length) throw error;
    throw new TransferError('E_NO_SPACE', `${this.#name}: no space left for the target at byte ${offset}`, {
      hint: 'Free some space there, then run the same command again: it goes on from what is finished.',
      cause: thrown,
    });
  }

  #writeError(thrown: unknown, offset: number): TransferError {
    return sftpError('write-target', this.#partName, thrown, { offset });
  }

  async #check(session: SftpSession, handle: Handle): Promise<void> {
    assertPart(this.#partName, await session.lstat(this.#part));
    const stat = await session.fstat(handle);
    // While other threads read what an earlier run wrote, their reading may show.
    if (this.ref.created) this.#assertOurs(stat);
    else if (stat.size !== this.ref.size) throw vanished(this.#partName);
  }

  /** Reading may have changed it after all: storages behind a server tell late. This is still the file that had it. */
  async #tagAgain(session: SftpSession, handle: Handle, owner: object): Promise<void> {
    const { tag } = this.ref;
    if (tag === undefined) return;
    const { accessedSeconds, modifiedSeconds = 0 } = await session.fstat(handle, owner);
    if (accessedSeconds === tag) return;
    await session.fsetstat(handle, { accessedSeconds: tag, modifiedSeconds }).catch(unlessRefused);
  }

  #assertOurs({ size, accessedSeconds }: RemoteStat): void {
    const { tag } = this.ref;
    if (size !== this.ref.size || (tag !== undefined && accessedSeconds !== tag)) throw vanished(this.#partName);
  }

  #isPublished(mark: PartMark, { sync }: CommitRequest): Promise<boolean> {
    return doing('commit-target', this.#name, async () =>
      finishPublishing(await this.#client.session(this.ref.address), this.ref, { mark, sync }),
    );
  }

  /** For what is done once, on a thread that may have no other use for the part. */
  async #once<T>(work: (session: SftpSession, handle: Handle) => Promise<T>): Promise<T> {
    return doing('commit-target', this.#name, async () => {
      const session = await this.#client.session(this.ref.address);
      const handle = await ifThere(session.open(this.#part, READ_WRITE));
      if (!handle) throw vanished(this.#partName);
      try {
        this.#assertOurs(await session.fstat(handle));
        return await work(session, handle);
      } finally {
        await closeQuietly(session, handle);
      }
    });
  }

  /**
   * What takes the place of a file gets its permissions, and its owner where that is allowed; else those of the source.
   * Answers what could not be kept.
   */
  async #setAccess(session: SftpSession, handle: Handle, request: CommitRequest): Promise<readonly string[]> {
    const { attributes } = request;
    const ours = await session.fstat(handle);
    if (attributes) return this.#setAttributes(session, handle, attributes, ours);
    const there = request.overwrite ? await ifThere(session.lstat(this.ref.path)) : undefined;
    const old = there && kindOf(there) === 'file' ? there : undefined;
    const mode = old?.mode === undefined ? (request.mode ?? 0o666) & ~process.umask() : old.mode & 0o777;
    if (old && (old.uid !== ours.uid || old.gid !== ours.gid)) {
      await session.fsetstat(handle, { uid: old.uid as number, gid: old.gid as number }).catch(unlessRefused);
    }
    await session.fsetstat(handle, { mode }).catch(unlessRefused);
    return [];
  }

  async #setAttributes(
    session: SftpSession,
    handle: Handle,
    { mode, uid, gid, extended, modifiedNs }: FileAttributes,
    ours: RemoteStat,
  ): Promise<readonly string[]> {
    const owned = ours.uid === uid && ours.gid === gid;
    // A set-user-id bit speaks of an owner; with another one it would lend somebody else's rights.
    await session.fsetstat(handle, { mode: owned ? mode : mode & 0o1777 });
    return [
      ...(owned ? [] : [`--preserve: the owner is whoever logged in there, and not ${uid}:${gid}`]),
      ...(extended && extended.length > 0 ? ['--preserve: extended attributes cannot be kept over SFTP'] : []),
      ...(BigInt(modifiedNs) % SECOND_NS === 0n ? [] : ['--preserve: times are kept in whole seconds over SFTP']),
    ];
  }
}

function secondsOf({ accessedNs, modifiedNs }: FileTimes): RemoteStat {
  const seconds = (ns: string): number => Math.min(0xffff_ffff, Math.max(0, Number(BigInt(ns) / SECOND_NS)));
  return { accessedSeconds: seconds(accessedNs), modifiedSeconds: seconds(modifiedNs) };
}
