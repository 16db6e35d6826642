/** What the matrix has to know of a kind of end: how it is started, filled, read, killed and found again. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { MiB } from '../../src/core/units.js';
import type { CopyOptions } from '../../src/index.js';

/** A row of the table of ends. */
export interface EndKind {
  readonly name: string;
  /** Why it cannot be had on this machine; '': it can. */
  whyNot(): string;
  /** Everything that it keeps goes into the folder, which is empty and its own. */
  start(folder: string): Promise<End>;
}

/** Where a server listens, or a proxy in front of it. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface End {
  /** Absent: it can't be copied from. */
  readonly source?: SourceEnd;
  /** Absent: it can't be copied to. */
  readonly target?: TargetEnd;
  /** Absent: there is no server. */
  readonly server?: ServerEnd;
  /** Removes what a case put or copied there, so that cases do not fill the storage. */
  remove(name: string): Promise<void>;
  /** What a client needs besides the location, such as credentials. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends all that it started; called once. */
  stop(): Promise<void>;
}

export interface SourceEnd {
  /** Sizes of files must be a multiple of it. */
  readonly grainBytes?: number;
  /** Nothing tells that it changed, so that a resume reads it again. */
  readonly unversioned?: true;
  /** Puts the bytes of a local file there under a name, whatever had that name before. */
  put(name: string, file: string): Promise<void>;
  /** What a copy calls it; `at`: through a proxy. */
  location(name: string, at?: Address): string;
}

export interface TargetEnd {
  /** What a copy to it has to be asked for. */
  readonly options?: Partial<CopyOptions>;
  /** It takes a file in one request alone, of which nothing can be kept. */
  readonly oneChunk?: true;
  /** What has to be there before a copy. */
  ready?(name: string, size: number): Promise<void>;
  location(name: string, at?: Address): string;
  /** What stands under the name, by other means than ours: its SHA-256 in hex; undefined: nothing stands there. */
  sha256(name: string, size: number): Promise<string | undefined>;
}

export interface ServerEnd {
  readonly address: Address;
  /** kill -9. */
  kill(): Promise<void>;
  /** The same server at the same address, once it answers. */
  restart(): Promise<void>;
}

/** SHA-256 of a local file or device, as far as `size`. */
export function sha256Of(path: string, size = Infinity): string {
  const hash = createHash('sha256');
  const block = Buffer.alloc(MiB);
  const fd = openSync(path, 'r');
  try {
    for (let at = 0; at < size; ) {
      const got = readSync(fd, block, 0, Math.min(block.length, size - at), at);
      if (got === 0) break;
      hash.update(block.subarray(0, got));
      at += got;
    }
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}
