/**
 * The words of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions (its file PROTOCOL), as bytes.
 * What comes from a server is taken apart here and nowhere else, and never beyond its end.
 */

export const TYPE = {
  ...{ init: 1, version: 2, open: 3, close: 4, read: 5, write: 6, lstat: 7, fstat: 8, setstat: 9, fsetstat: 10 },
  ...{ remove: 13, realpath: 16, stat: 17, rename: 18, extended: 200 },
  ...{ status: 101, handle: 102, data: 103, name: 104, attributes: 105, extendedReply: 201 },
} as const;

export const STATUS = { ok: 0, eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, unsupported: 8 } as const;

export const OPEN = { read: 1, write: 2, create: 8, exclusive: 32 } as const;

export const EXTENSION = {
  fsync: 'fsync@openssh.com',
  hardlink: 'hardlink@openssh.com',
  limits: 'limits@openssh.com',
  posixRename: 'posix-rename@openssh.com',
  statvfs: 'statvfs@openssh.com',
} as const;

export type Extension = (typeof EXTENSION)[keyof typeof EXTENSION];

const FLAG = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x8000_0000 } as const;
const KIND_MASK = 0o170000;
const REGULAR = 0o100000;
const FOLDER = 0o040000;
const LINK = 0o120000;
const EXTENDED_MAX = 64;

/** What a server says of a file, as far as it says it. Times are whole seconds since 1970. */
export interface RemoteStat {
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** With the bits that say what kind of file it is. */
  readonly mode?: number;
  readonly accessedSeconds?: number;
  readonly modifiedSeconds?: number;
}

export type RemoteKind = 'file' | 'folder' | 'link' | 'special';

/** Servers that do not tell it have nothing but files, as far as that matters here. */
export function kindOf({ mode }: RemoteStat): RemoteKind {
  const kind = (mode ?? 0) & KIND_MASK;
  if (kind === 0 || kind === REGULAR) return 'file';
  if (kind === FOLDER) return 'folder';
  return kind === LINK ? 'link' : 'special';
}

/** A uint32, a uint64, or a string with its length before it. */
export type Field = number | bigint | string | Uint8Array;

/** One packet; `idOrVersion` is what follows the type. */
export function encodePacket(type: number, idOrVersion: number, fields: readonly Field[], dataBytes = 0): Buffer {
  const encoded = fields.map((field) => (typeof field === 'string' ? Buffer.from(field) : field));
  const bytes = encoded.reduce<number>((sum, field) => sum + fieldBytes(field), 9);
  const packet = Buffer.allocUnsafe(bytes);
  packet.writeUInt32BE(bytes - 4 + dataBytes, 0);
  packet[4] = type;
  packet.writeUInt32BE(idOrVersion, 5);
  let at = 9;
  for (const field of encoded) {
    if (typeof field === 'number') packet.writeUInt32BE(field, at);
    else if (typeof field === 'bigint') packet.writeBigUInt64BE(field, at);
    else {
      packet.writeUInt32BE(field.length, at);
      packet.set(field, at + 4);
    }
    at += fieldBytes(field);
  }
  return packet;
}

function fieldBytes(field: number | bigint | Uint8Array): number {
  if (typeof field === 'number') return 4;
  return typeof field === 'bigint' ? 8 : 4 + field.length;
}

/** What is to be set of a file; what is absent stays as it is. */
export function statFields({ size, uid, gid, mode, accessedSeconds, modifiedSeconds }: RemoteStat): Field[] {
  const owner = uid !== undefined && gid !== undefined;
  const times = accessedSeconds !== undefined && modifiedSeconds !== undefined;
  const flags =
    (size === undefined ? 0 : FLAG.size) |
    (owner ? FLAG.owner : 0) |
    (mode === undefined ? 0 : FLAG.mode) |
    (times ? FLAG.times : 0);
  return [
    flags,
    ...(size === undefined ? [] : [BigInt(size)]),
    ...(owner ? [uid, gid] : []),
    ...(mode === undefined ? [] : [mode]),
    ...(times ? [accessedSeconds, modifiedSeconds] : []),
  ];
}

/** What a server sent is not SFTP; the message says how. */
export class MalformedError extends Error {}

/** Reads the fields of an answer, one after the other. @throws MalformedError at its end */
export class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  string(): Buffer {
    const length = this.uint32();
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  stat(): RemoteStat {
    const flags = this.uint32();
    const size = flags & FLAG.size ? this.uint64() : undefined;
    if (size !== undefined && size > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedError(`a size of ${size}`);
    const owner = flags & FLAG.owner ? { uid: this.uint32(), gid: this.uint32() } : {};
    const mode = flags & FLAG.mode ? { mode: this.uint32() } : {};
    const times = flags & FLAG.times ? { accessedSeconds: this.uint32(), modifiedSeconds: this.uint32() } : {};
    const extended = flags & FLAG.extended ? this.uint32() : 0;
    if (extended > EXTENDED_MAX) throw new MalformedError(`${extended} extended attributes`);
    for (let n = 0; n < extended * 2; n++) this.string();
    return { ...(size !== undefined && { size: Number(size) }), ...owner, ...mode, ...times };
  }

  #take(bytes: number): number {
    const from = this.#at;
    if (bytes > this.#bytes.length - from) throw new MalformedError('an answer that ends before its end');
    this.#at += bytes;
    return from;
  }
}
