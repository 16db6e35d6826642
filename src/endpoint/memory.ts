/**
 * Both ends in memory, for tests: a store of named files that one thread owns, with a script that makes reads, writes,
 * flushes and commits fail, wait or spoil bytes on demand. Locations are `memory:NAME`.
 */
import { join } from 'node:path';
import type { ChunkReader, EndpointRef, FileIdentity, Location, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import {
  CHUNK_LIMITS,
  type CommitRequest,
  type PreparedTarget,
  type PrepareRequest,
  type Target,
  type TargetSite,
} from '../core/target.js';
import type { EndpointScheme } from './registry.js';

/** One call: the how-manieth of its kind, from 1, and the bytes that it is about. */
export interface MemoryCall {
  readonly nth: number;
  readonly offset: number;
  readonly length: number;
}

/** What happens around calls. Whatever throws makes the call fail; a promise makes it answer late. */
export interface MemoryScript {
  read?(call: MemoryCall): void | Promise<void>;
  write?(call: MemoryCall): void | Promise<void>;
  /** May change the bytes of a write on their way into the store. */
  spoil?(stored: Uint8Array, call: MemoryCall): void;
  readBack?(call: MemoryCall): void | Promise<void>;
  /** Reading back answers from a cache, as where a file system refuses to go past it. */
  readonly cached?: boolean;
  flush?(): void | Promise<void>;
  commit?(): void | Promise<void>;
}

interface MemoryFile {
  bytes: Uint8Array;
  readonly identity: FileIdentity;
  version: number;
}

interface MemoryRef extends EndpointRef {
  readonly name: string;
}

/** What was opened, so that whoever attaches to it later finds out that it changed meanwhile. */
interface MemorySourceRef extends MemoryRef {
  readonly size: number;
  readonly version: number;
  readonly identity: FileIdentity;
}

const PER_WORKER = 4;

export class MemoryStore {
  script: MemoryScript = {};
  readonly #journalFolder: string;
  readonly #files = new Map<string, MemoryFile>();
  readonly #parts = new Map<string, MemoryFile>();
  readonly #calls = { read: 0, write: 0, readBack: 0 };
  #inodes = 0;

  /** Journals are always local files: they are kept in this folder. */
  constructor(journalFolder: string) {
    this.#journalFolder = journalFolder;
  }

  /** Makes a file, or gives it other bytes and so another version. */
  put(name: string, bytes: Uint8Array): void {
    const version = (this.#files.get(name)?.version ?? 0) + 1;
    this.#files.set(name, { ...this.#newFile(Uint8Array.from(bytes)), version });
  }

  /** The bytes under a name; undefined when there is no such file. */
  bytes(name: string): Uint8Array | undefined {
    return this.#files.get(name)?.bytes;
  }

  scheme(): EndpointScheme {
    return {
      openSource: async (location) => this.#source(this.#open(nameOf(location))),
      attachSource: (ref) => this.#source(ref as MemorySourceRef),
      locateTarget: async (location) => this.#locate(nameOf(location)),
      prepareTarget: async (ref, request) => this.#prepare(ref as MemoryRef, request),
      attachTarget: (ref) => this.#target(ref as MemoryRef),
      discardPartial: async (ref) => void this.#parts.delete((ref as MemoryRef).name),
      finishCommit: async (ref, part) => {
        const { name } = ref as MemoryRef;
        const file = this.#files.get(name);
        const same = file?.identity.inode === part.inode && file.bytes.length === part.size;
        return same && String(file.version) === part.mtimeNs && !this.#parts.has(name);
      },
    };
  }

  #newFile(bytes: Uint8Array): MemoryFile {
    return { bytes, identity: { device: 'memory', inode: String(++this.#inodes) }, version: 1 };
  }

  #open(name: string): MemorySourceRef {
    const file = this.#files.get(name);
    if (!file)
      throw new TransferError('E_SOURCE_MISSING', `memory:${name}: no such source`, { hint: 'Check the name.' });
    const { identity, version, bytes } = file;
    return { scheme: 'memory', name, size: bytes.length, version, identity };
  }

  #source(ref: MemorySourceRef): Source {
    return {
      ref,
      name: `memory:${ref.name}`,
      fileName: ref.name,
      size: ref.size,
      sizeIs: 'exact',
      version: { strength: 'strong', value: `version ${ref.version}` },
      identity: ref.identity,
      readsPerWorker: PER_WORKER,
      openChunk: ({ offset, length }) =>
        this.#reader('read', offset, length, () => {
          const now = this.#files.get(ref.name)?.bytes;
          if (now && now.length >= offset + length) return now;
          throw changed(ref.name, `ended before byte ${offset + length}`);
        }),
      assertUnchanged: async () => {
        if (this.#files.get(ref.name)?.version !== ref.version)
          throw changed(ref.name, 'was changed while it was copied');
      },
      close: async () => undefined,
    };
  }

  #reader(kind: 'read' | 'readBack', offset: number, length: number, bytes: () => Uint8Array): ChunkReader {
    let at = offset;
    return {
      next: (into) => {
        const from = at;
        const wanted = Math.min(into.length, offset + length - from);
        at += wanted;
        const read = (): number => {
          const got = bytes().subarray(from, from + wanted);
          into.set(got);
          return got.length;
        };
        const before = this.script[kind]?.({ nth: ++this.#calls[kind], offset: from, length: wanted });
        return before instanceof Promise ? before.then(read) : read();
      },
      close: () => undefined,
    };
  }

  #locate(name: string): TargetSite {
    const existing = this.#files.get(name)?.identity;
    const part = this.#parts.get(name);
    const ref: MemoryRef = { scheme: 'memory', name };
    return {
      ref,
      name: `memory:${name}`,
      fileName: name,
      journalPath: join(this.#journalFolder, `.${name}.blockferry-journal`),
      publish: 'atomic',
      limits: CHUNK_LIMITS,
      writesPerWorker: PER_WORKER,
      ...(existing && { existing }),
      ...(part && { partial: { identity: part.identity, allocatedBytes: part.bytes.length } }),
    };
  }

  #prepare(ref: MemoryRef, { size, partial }: PrepareRequest): PreparedTarget {
    const there = this.#parts.get(ref.name);
    if ((there === undefined) !== (partial === 'create')) {
      throw new TransferError('E_TARGET_ACCESS', `memory:${ref.name}: a partial ${there ? 'exists' : 'is missing'}`);
    }
    const part = there ?? this.#newFile(new Uint8Array(size));
    const bytes = new Uint8Array(size);
    bytes.set(part.bytes.subarray(0, size));
    part.bytes = bytes;
    this.#parts.set(ref.name, part);
    return { ref, identity: part.identity, zeroed: partial === 'create' };
  }

  #target(ref: MemoryRef): Target {
    const part = (): Uint8Array => this.#part(ref.name).bytes;
    return {
      ref,
      openChunk: ({ offset }) => {
        let at = offset;
        return {
          write: (block) => {
            const from = at;
            at += block.length;
            return this.#write(part, from, block);
          },
          skip: (length) => {
            at += length;
          },
          finish: () => undefined,
          abort: () => undefined,
        };
      },
      zero: ({ offset, length }) => void part().fill(0, offset, offset + length),
      openChunkBack: ({ offset, length }) => this.#reader('readBack', offset, length, part),
      openReadBack: ({ offset, length }) => ({
        reader: this.#reader('readBack', offset, length, part),
        pastCache: !this.script.cached,
      }),
      mark: () => {
        const { identity, bytes, version } = this.#part(ref.name);
        return { ...identity, size: bytes.length, mtimeNs: String(version) };
      },
      flush: async () => this.script.flush?.(),
      commit: (request) => this.#commit(ref.name, request),
      close: async () => undefined,
    };
  }

  #part(name: string): MemoryFile {
    const part = this.#parts.get(name);
    if (part) return part;
    throw new TransferError('E_TARGET_CHANGED', `the partial copy of memory:${name} was removed while it was written`);
  }

  #write(part: () => Uint8Array, offset: number, block: Uint8Array): void | Promise<void> {
    const call: MemoryCall = { nth: ++this.#calls.write, offset, length: block.length };
    const store = (): void => {
      const stored = part().subarray(offset, offset + block.length);
      stored.set(block);
      this.script.spoil?.(stored, call);
    };
    const before = this.script.write?.(call);
    return before instanceof Promise ? before.then(store) : store();
  }

  async #commit(name: string, { overwrite }: CommitRequest): Promise<readonly string[]> {
    await this.script.commit?.();
    const part = this.#part(name);
    if (this.#files.has(name) && !overwrite) {
      throw new TransferError('E_TARGET_EXISTS', `memory:${name} exists already and was left as it is`);
    }
    this.#files.set(name, part);
    this.#parts.delete(name);
    return [];
  }
}

function nameOf(location: Location): string {
  return location.text.slice('memory:'.length);
}

function changed(name: string, how: string): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `memory:${name} ${how}; a copy of it would mix two versions`);
}
