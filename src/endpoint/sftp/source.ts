/**
 * A file of an SFTP server as a source. Its version is its size and the second of its last change, which is looked at
 * again behind the last byte of every chunk: the server answers in order, so that no change before it goes unseen.
 */
import { posix } from 'node:path';
import type { ByteRange } from '../../core/chunk.js';
import { systemClock } from '../../core/clock.js';
import type {
  ChunkReader,
  EndpointRef,
  FileAttributes,
  FileIdentity,
  Location,
  Source,
  Version,
} from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { fileVersion } from '../../core/version.js';
import { fileNameAt, readPlace, type SftpAddress, type SftpPlace, serverKey } from './address.js';
import type { Secrets } from './auth.js';
import { ChunkRequests } from './chunk.js';
import type { SftpClient } from './client.js';
import { doing, sftpError } from './errors.js';
import { RemoteFile } from './file.js';
import type { Handle, SftpSession } from './session.js';
import { kindOf, OPEN, type RemoteStat } from './wire.js';

/** With blocks of 256 KiB they fill the 2 MiB that an SSH channel lets be under way. */
export const TASKS_PER_WORKER = 8;
const ROUNDS_MAX = 5;
/** File systems keep whole seconds or, like FAT, pairs of them. */
const GRAIN_SECONDS = 2;
/** A clock that is set to the time of another zone is off by less than this. */
const CLOCKS_DIFFER_SECONDS_MAX = 25 * 3600;

interface SftpSourceRef extends EndpointRef {
  readonly address: SftpAddress;
  readonly secrets: Secrets;
  readonly path: string;
  readonly stat: KnownStat;
}

/** What a copy cannot do without. */
type KnownStat = RemoteStat & Required<Pick<RemoteStat, 'size' | 'modifiedSeconds'>>;

export async function openSftpSource(client: SftpClient, location: Location): Promise<SftpSource> {
  const place = readPlace(location);
  return doing('open-source', location.name, async () => {
    const session = await client.session(place.address);
    const path = await session.realpath(await absolute(session, place));
    return openAt(client, place.address, path);
  });
}

export async function openAt(client: SftpClient, address: SftpAddress, path: string): Promise<SftpSource> {
  const name = fileNameAt(address, path);
  return doing('open-source', name, async () => {
    const session = await client.session(address);
    assertReadable(name, await session.stat(path));
    const handle = await session.open(path, OPEN.read);
    try {
      const stat = await settledStat(name, session, handle);
      return new SftpSource(client, { scheme: 'sftp', address, secrets: { ...client.secrets }, path, stat });
    } finally {
      await session.closeHandle(handle);
    }
  });
}

/** A place below the home folder, which is where a session begins, with all of its path. */
export async function absolute(session: SftpSession, { path, fromHome }: SftpPlace): Promise<string> {
  return fromHome ? posix.join(await session.realpath('.'), path) : posix.normalize(path);
}

function assertReadable(name: string, stat: RemoteStat): void {
  const kind = kindOf(stat);
  if (kind === 'file') return;
  const what = kind === 'folder' ? 'a folder' : 'a special file';
  throw new TransferError('E_SOURCE_KIND', `${name} is ${what}; a file was expected`, {
    hint: 'Give the path of a file: over SFTP files are copied one by one.',
  });
}

/** Its version, once every later change is sure to show in it. */
async function settledStat(name: string, session: SftpSession, handle: Handle): Promise<KnownStat> {
  let stat = known(name, await session.fstat(handle));
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (isSettled(stat)) return stat;
    await systemClock.sleep(GRAIN_SECONDS * 1000);
    const again = known(name, await session.fstat(handle));
    // The clock of the server has gone on since that change, whatever it shows.
    if (versionOf(again) === versionOf(stat)) return again;
    stat = again;
  }
  throw new TransferError('E_SOURCE_CHANGED', `${name} is being written to`, {
    hint: 'Stop what writes to it, then run the same command again. Nothing was put under the name of the target.',
  });
}

/** Whether its last change is long past by the server's clock, which may be hours from ours. */
function isSettled({ modifiedSeconds, accessedSeconds = 0 }: KnownStat): boolean {
  const nowSeconds = systemClock.wallMs() / 1000;
  if (Math.abs(nowSeconds - modifiedSeconds) > CLOCKS_DIFFER_SECONDS_MAX) return true;
  // It was read there later than it was written to.
  const read = accessedSeconds < nowSeconds + CLOCKS_DIFFER_SECONDS_MAX;
  return read && accessedSeconds >= modifiedSeconds + GRAIN_SECONDS;
}

function known(name: string, stat: RemoteStat): KnownStat {
  const { size, modifiedSeconds } = stat;
  if (size !== undefined && modifiedSeconds !== undefined) return { ...stat, size, modifiedSeconds };
  throw new TransferError('E_NO_SIZE', `${name}: the server does not say how large the file is, and how old`, {
    hint: 'Without both no change could be told. Copy it in another way.',
  });
}

export function nanoseconds(seconds: number): bigint {
  return BigInt(seconds) * 1_000_000_000n;
}

function versionOf({ size, modifiedSeconds }: KnownStat): string {
  return fileVersion({ size, mtimeNs: nanoseconds(modifiedSeconds), inode: 0n }, 'weak');
}

export function identityAt(address: SftpAddress, path: string): FileIdentity {
  return { device: serverKey(address), inode: path };
}

export class SftpSource implements Source {
  readonly ref: SftpSourceRef;
  readonly name: string;
  readonly fileName: string;
  readonly size: number;
  readonly sizeIs = 'exact';
  readonly version: Version;
  readonly modifiedNs: string;
  readonly identity: FileIdentity;
  readonly readsPerWorker = TASKS_PER_WORKER;
  readonly mode?: number;
  readonly attributes?: () => FileAttributes;
  readonly #client: SftpClient;
  readonly #file: RemoteFile;

  constructor(client: SftpClient, ref: SftpSourceRef) {
    const { address, path, stat } = ref;
    this.#client = client;
    this.ref = ref;
    this.name = fileNameAt(address, path);
    this.fileName = posix.basename(path);
    this.size = stat.size;
    this.version = { strength: 'weak', value: versionOf(stat) };
    this.modifiedNs = String(nanoseconds(stat.modifiedSeconds));
    this.identity = identityAt(address, path);
    if (stat.mode !== undefined) this.mode = stat.mode & 0o777;
    const attributes = attributesOf(stat);
    if (attributes) this.attributes = () => attributes;
    this.#file = new RemoteFile({
      path,
      flags: OPEN.read,
      session: () => client.session(address),
      check: async (session, handle) => this.#assertVersion(await session.fstat(handle)),
    });
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkReader {
    const end = range.offset + range.length;
    const chunk = new ChunkRequests(signal);
    let position = range.offset;
    const next = async (into: Uint8Array): Promise<number> => {
      const block = into.subarray(0, Math.min(into.length, end - position));
      const { session, handle } = await chunk.opened(this.#file);
      const last = position + block.length === end;
      const reading = session.read(handle, block, position, chunk);
      const [got, stat] = await Promise.all([reading, last ? session.fstat(handle, chunk) : undefined]);
      if (got < block.length) throw this.#changed(`ended at byte ${position + got}, before its ${this.size} bytes`);
      if (stat) this.#assertVersion(stat);
      position += got;
      return got;
    };
    return {
      next: (into) => next(into).catch((thrown) => Promise.reject(this.#readError(thrown, position))),
      close: () => chunk.end(),
    };
  }

  async assertUnchanged(): Promise<undefined> {
    const { address, path } = this.ref;
    await doing('read-source', this.name, async () => {
      const session = await this.#client.session(address);
      this.#assertVersion(await session.stat(path));
      await this.#file.opened();
    });
    // A thread that is not one of the job's has no use for it any more.
    await this.detach();
  }

  detach(): Promise<void> {
    return this.#file.close();
  }

  close(): Promise<void> {
    return this.detach();
  }

  #assertVersion(stat: RemoteStat): void {
    if (versionOf(known(this.name, stat)) !== this.version.value)
      throw this.#changed('was changed while it was copied');
  }

  #readError(thrown: unknown, offset: number): TransferError {
    return sftpError('read-source', this.name, thrown, { offset });
  }

  #changed(how: string): TransferError {
    return new TransferError('E_SOURCE_CHANGED', `${this.name} ${how}; a copy of it would mix two versions`, {
      hint: 'Nothing was put under the name of the target. Stop what writes to the source, then copy with --discard.',
    });
  }
}

/** What version 3 of the protocol tells: whole seconds, and numbers for owners that mean little on another host. */
function attributesOf(stat: KnownStat): FileAttributes | undefined {
  const { mode, uid, gid, accessedSeconds, modifiedSeconds } = stat;
  if (mode === undefined || uid === undefined || gid === undefined) return undefined;
  return {
    ...{ mode: mode & 0o7777, uid, gid },
    accessedNs: String(nanoseconds(accessedSeconds ?? modifiedSeconds)),
    modifiedNs: String(nanoseconds(modifiedSeconds)),
    unread: ['times are whole seconds over SFTP, and extended attributes are not told'],
  };
}
