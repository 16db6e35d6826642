/**
 * One server as this thread sees it: the requests of SFTP as calls, in pieces that the server takes, and the extensions
 * that it has. A refusal is a StatusError; everything else that goes wrong is a TransferError.
 */
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { type Answer, type Request, type SftpChannel, StatusError } from './channel.js';
import { EXTENSION, type Extension, type Field, MalformedError, type RemoteStat, statFields, TYPE } from './wire.js';

/** What every server takes in one request (draft-ietf-secsh-filexfer-02, section 3). */
const PIECE_BYTES_SAFE = 32 * KiB;
/** What OpenSSH takes. */
const PIECE_BYTES_MAX = 255 * KiB;
const HANDLE_BYTES_MAX = 256;
const ALIGNMENT = 4 * KiB;

/** An open file of the server. */
export type Handle = Buffer;

interface Sizes {
  readonly readBytes: number;
  readonly writeBytes: number;
}

export class SftpSession {
  /** For messages: the server, without secrets. */
  readonly name: string;
  readonly #channel: SftpChannel;
  readonly #extensions: ReadonlyMap<string, string>;
  readonly #sizes: Sizes;

  private constructor(name: string, channel: SftpChannel, extensions: ReadonlyMap<string, string>, sizes: Sizes) {
    this.name = name;
    this.#channel = channel;
    this.#extensions = extensions;
    this.#sizes = sizes;
  }

  static async begin(name: string, channel: SftpChannel): Promise<SftpSession> {
    const extensions = await translated(name, () => channel.begin());
    const safe = { readBytes: PIECE_BYTES_SAFE, writeBytes: PIECE_BYTES_SAFE };
    const session = new SftpSession(name, channel, extensions, safe);
    if (!session.has(EXTENSION.limits)) return session;
    const { fields } = await session.#extended(EXTENSION.limits, [], TYPE.extendedReply);
    const [, readBytes = 0n, writeBytes = 0n] = await translated(name, async () => [
      fields.uint64(),
      fields.uint64(),
      fields.uint64(),
    ]);
    const sizes = { readBytes: pieceBytes(readBytes), writeBytes: pieceBytes(writeBytes) };
    return new SftpSession(name, channel, extensions, sizes);
  }

  get lost(): boolean {
    return this.#channel.lost;
  }

  has(extension: Extension): boolean {
    return this.#extensions.has(extension);
  }

  close(): void {
    this.#channel.lose(new TransferError('E_NETWORK', `${this.name}: the connection was closed`));
  }

  giveUp(owner: object): void {
    this.#channel.giveUp(owner, new TransferError('E_STOPPED', 'stopped; finished chunks are kept'));
  }

  async open(path: string, flags: number, stat: RemoteStat = {}): Promise<Handle> {
    const { fields } = await this.#ask({ type: TYPE.open, fields: [path, flags, ...statFields(stat)] }, TYPE.handle);
    const handle = await translated(this.name, async () => fields.string());
    if (handle.length <= HANDLE_BYTES_MAX) return handle;
    throw protocolError(this.name, `a handle of ${handle.length} bytes`);
  }

  async closeHandle(handle: Handle): Promise<void> {
    // A server may write out all that it holds of the file.
    await this.#ask({ type: TYPE.close, fields: [handle], slow: true }, TYPE.status);
  }

  /** Follows links. */
  stat(path: string): Promise<RemoteStat> {
    return this.#stat(TYPE.stat, path);
  }

  lstat(path: string): Promise<RemoteStat> {
    return this.#stat(TYPE.lstat, path);
  }

  fstat(handle: Handle, owner?: object): Promise<RemoteStat> {
    return this.#stat(TYPE.fstat, handle, owner);
  }

  async fsetstat(handle: Handle, stat: RemoteStat): Promise<void> {
    await this.#ask({ type: TYPE.fsetstat, fields: [handle, ...statFields(stat)] }, TYPE.status);
  }

  async setstat(path: string, stat: RemoteStat): Promise<void> {
    await this.#ask({ type: TYPE.setstat, fields: [path, ...statFields(stat)] }, TYPE.status);
  }

  async remove(path: string): Promise<void> {
    await this.#ask({ type: TYPE.remove, fields: [path] }, TYPE.status);
  }

  /** Does it replace what stands there? Servers differ. */
  async rename(from: string, to: string): Promise<void> {
    await this.#ask({ type: TYPE.rename, fields: [from, to] }, TYPE.status);
  }

  /** Replaces what stands there, at once. */
  async posixRename(from: string, to: string): Promise<void> {
    await this.#extended(EXTENSION.posixRename, [from, to]);
  }

  /** Fails where something stands there. */
  async hardlink(from: string, to: string): Promise<void> {
    await this.#extended(EXTENSION.hardlink, [from, to]);
  }

  async fsync(handle: Handle, owner?: object): Promise<void> {
    const fields = [EXTENSION.fsync, handle];
    await this.#ask({ type: TYPE.extended, fields, slow: true, owner }, TYPE.status);
  }

  async realpath(path: string): Promise<string> {
    const { fields } = await this.#ask({ type: TYPE.realpath, fields: [path] }, TYPE.name);
    const real = await translated(this.name, async () => {
      const count = fields.uint32();
      if (count !== 1) throw new MalformedError(`${count} names for one path`);
      return fields.string().toString();
    });
    if (real.startsWith('/') && !real.includes('\0')) return real;
    throw protocolError(this.name, 'a path that is none');
  }

  /** Undefined: the server does not tell. */
  async freeBytes(path: string): Promise<number | undefined> {
    if (!this.has(EXTENSION.statvfs)) return undefined;
    try {
      const { fields } = await this.#extended(EXTENSION.statvfs, [path], TYPE.extendedReply);
      const [, fragment = 0n, , , available = 0n] = await translated(this.name, async () =>
        Array.from({ length: 5 }, () => fields.uint64()),
      );
      return Number(fragment * available);
    } catch (thrown) {
      if (thrown instanceof StatusError) return undefined;
      throw thrown;
    }
  }

  /** Fills `into` from a place of the file; answers how much there was of it. */
  async read(handle: Handle, into: Uint8Array, position: number, owner: object): Promise<number> {
    const pieces = cut(into, this.#sizes.readBytes);
    const got = await Promise.all(
      pieces.map((piece) => this.#readPiece(handle, piece, position + piece.byteOffset - into.byteOffset, owner)),
    );
    const short = got.findIndex((bytes, n) => bytes < (pieces[n]?.length ?? 0));
    return got.slice(0, short === -1 ? got.length : short + 1).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** A server may give less than was asked for, and then is asked for the rest. */
  async #readPiece(handle: Handle, piece: Uint8Array, position: number, owner: object): Promise<number> {
    let done = 0;
    while (done < piece.length) {
      const into = piece.subarray(done);
      const fields = [handle, BigInt(position + done), into.length];
      const { filled } = await this.#ask({ type: TYPE.read, fields, into, owner }, TYPE.data);
      if (filled === 0) break;
      done += filled;
    }
    return done;
  }

  /** The block is the caller's again when all of it is acknowledged. */
  async write(handle: Handle, block: Uint8Array, position: number, owner: object): Promise<void> {
    await Promise.all(
      cut(block, this.#sizes.writeBytes).map((data) => {
        const fields = [handle, BigInt(position + data.byteOffset - block.byteOffset)];
        return this.#ask({ type: TYPE.write, fields, data, owner }, TYPE.status);
      }),
    );
  }

  async #stat(type: number, what: string | Handle, owner?: object): Promise<RemoteStat> {
    const { fields } = await this.#ask({ type, fields: [what], owner }, TYPE.attributes);
    return translated(this.name, async () => fields.stat());
  }

  #extended(extension: Extension, fields: readonly Field[], expected: number = TYPE.status): Promise<Answer> {
    return this.#ask({ type: TYPE.extended, fields: [extension, ...fields] }, expected);
  }

  async #ask(request: Request, expected: number): Promise<Answer> {
    const answer = await this.#channel.request(request);
    if (answer.type === expected) return answer;
    const error = protocolError(this.name, `an answer of another kind (${answer.type}, not ${expected})`);
    this.#channel.lose(error);
    throw error;
  }
}

/** Pieces of about the same size, none above the limit. */
function cut(block: Uint8Array, limitBytes: number): Uint8Array[] {
  const count = Math.ceil(block.length / limitBytes);
  const bytes = Math.min(limitBytes, Math.ceil(block.length / count / ALIGNMENT) * ALIGNMENT);
  return Array.from({ length: count }, (_, n) => block.subarray(n * bytes, (n + 1) * bytes)).filter(
    (p) => p.length > 0,
  );
}

/** 0 means that the server does not say. */
function pieceBytes(limit: bigint): number {
  if (limit === 0n) return PIECE_BYTES_SAFE;
  return Math.max(ALIGNMENT, Math.min(Number(limit), PIECE_BYTES_MAX));
}

function protocolError(name: string, what: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server sent ${what}`, {
    hint: 'Check what listens there: an SFTP server, or something before it that writes of its own accord.',
  });
}

async function translated<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw thrown instanceof MalformedError ? protocolError(name, thrown.message) : thrown;
  }
}
