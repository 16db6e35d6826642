/** What callers may ask for, checked before anything is opened: callers without types exist. */
import { basename, join, resolve } from 'node:path';
import { type Algorithm, DIGEST_BYTES } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';
import { diskLocation } from '../disk/disk-location.js';
import type { LayoutKind } from '../disk/layout.js';
import { LAYOUT_KINDS } from '../disk/layouts.js';
import { parseLocation } from '../endpoint/location.js';
import type { ChecksumRequest } from '../transfer/checksum.js';
import { overHttp } from './over-http.js';
import type { YieldOptions } from './yielding.js';

export type Reflink = 'auto' | 'always' | 'never';

/** What to copy, and how; both ends are enough. */
export interface CopyOptions extends YieldOptions {
  /** A path or a URL. */
  readonly source: string;
  /** A path; when it is a folder, the file keeps its name inside it. */
  readonly target: string;
  /** Bytes per second, an upper bound; absent or 0: as fast as it goes. */
  readonly limitBytesPerSecond?: number;
  /**
   * Until when it is to be done: a time of day such as `06:00`, which is the next such, or an ISO time. It goes no
   * faster than it has to, with a tenth of the time (at most half an hour) kept back, never faster than the limit, and
   * tells by a note when it will be late.
   */
  readonly finishBy?: string;
  /**
   * Bytes of a chunk, for a new copy; a partial keeps the one that it began with. Default 8 MiB, less at low limits.
   */
  readonly chunkBytes?: number;
  /** Threads that copy. Default: one for each core, up to 4. */
  readonly workers?: number;
  /** Chunks under way at the same time. Default: as many as suit the ends. */
  readonly lanes?: number;
  /** Hash of the chunks. Default xxh64, which detects accidents and not attackers. */
  readonly algorithm?: Algorithm;
  /**
   * Path of a manifest to be written: digests of all chunks, for `verify` and for anybody else (docs/manifest.md). Only
   * an older manifest is replaced.
   */
  readonly manifest?: string;
  /** Read the target past the cache before it gets its name, and repair what differs. */
  readonly readBack?: boolean;
  /**
   * Keep mode, times, extended attributes (access control lists too) and, as root, the owner; they win over those of a
   * target that is replaced. What cannot be kept is told as a note. Of an http(s) source only its time is known.
   */
  readonly preserve?: boolean;
  /**
   * Share the blocks of the source instead of writing them: `auto` (the default) where the file system can, `always` or
   * fail, `never`. What is shared is read back from the target and hashed.
   */
  readonly reflink?: Reflink;
  /**
   * Read the finished copy once more, in order, for its SHA-256, before it gets its name. With `expected`, 64 hex
   * digits, another value is E_INTEGRITY: the target gets no name, and the partial copy is kept.
   */
  readonly checksum?: ChecksumRequest;
  /**
   * Make a new disk image of this layout, with the content that the guest sees of the source. Absent: the file is
   * copied as it is.
   */
  readonly to?: LayoutKind;
  /**
   * Make one disk of an image and of all that it builds on; without `to` of the image's own format, a raw one of qcow2.
   */
  readonly flatten?: boolean;
  /**
   * Folders in which images that others build on are looked for, too. Those beside the image are found without, and
   * elsewhere only what the image knows by an identity.
   */
  readonly parentFolders?: readonly string[];
  /**
   * False: a damaged disk image is copied as it is. Default true: what looks like one is checked before the copy
   * starts, and the copy before it gets its name; damage is E_DISK_FORMAT.
   */
  readonly check?: boolean;
  /** How an end is asked that is reached over HTTP. */
  readonly http?: HttpOptions;
  /** Replace an existing target, once the new copy is whole and proven. */
  readonly overwrite?: boolean;
  /**
   * Take over those chunks of the existing target that are the same, and copy only the others: into a new file, which
   * then replaces the old one as ever (so `overwrite` is needed). What was taken over is read back and hashed.
   */
  readonly delta?: boolean;
  /** Throw a partial copy away and start afresh. */
  readonly discard?: boolean;
  /** False: skip the flushes; a killed process still loses nothing, a power cut may. Default true. */
  readonly sync?: boolean;
  /** Aborting suspends the copy. */
  readonly signal?: AbortSignal;
}

/** What the copy of one file and of many are asked for alike. */
export function requestOf(options: Omit<CopyOptions, 'source' | 'target'>) {
  return {
    algorithm: algorithmOf(options.algorithm),
    chunkBytes: wholeNumber('chunkBytes', options.chunkBytes),
    lanes: wholeNumber('lanes', options.lanes),
    rateBytesPerSecond: rateOf(options.limitBytesPerSecond),
    overwrite: options.overwrite ?? false,
    discard: options.discard ?? false,
    delta: options.delta ?? false,
    sync: options.sync ?? true,
    readBack: options.readBack ?? false,
    check: options.check ?? true,
    preserve: options.preserve ?? false,
    reflink: reflinkOf(options.reflink),
  } as const;
}

/** Of a copy that makes a new disk these are disks, and else the files. */
export function endsOf(options: CopyOptions): { readonly source: Location; readonly target: Location } {
  const { to, flatten = false, parentFolders = [] } = options;
  const [source, target] = overHttp(options.http, [
    locationOf('source', options.source),
    locationOf('target', options.target),
  ]);
  if (to !== undefined && !LAYOUT_KINDS.includes(to)) {
    throw new TransferError('E_USAGE', `the layout is ${to}; one of ${LAYOUT_KINDS.join(', ')} was expected`);
  }
  if (parentFolders.length > 0 && !flatten) {
    throw new TransferError('E_USAGE', 'folders of parents were given, and no chain is to be flattened', {
      hint: 'An image alone is copied without its parents. Say --flatten to get one disk out of all of them.',
    });
  }
  if (to === undefined && !flatten) return { source, target };
  return {
    source: diskLocation({ container: source, parents: flatten, parentFolders }),
    target: diskLocation({ container: target, layout: to ?? 'flattened' }),
  };
}

export function wholeNumber(
  name: string,
  value: number | undefined,
  max = Number.MAX_SAFE_INTEGER,
): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0 && value <= max)) return value;
  const most = max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${max}`;
  throw new TransferError('E_USAGE', `${name} is ${value}; a positive whole number${most} was expected`);
}

/** @throws TransferError E_USAGE */
export function locationOf(name: string, text: unknown): Location {
  if (typeof text === 'string') return parseLocation(text);
  throw new TransferError('E_USAGE', `${name} is ${typeof text}; a path or a URL was expected`);
}

/** Whole bytes per second, 0 for no limit: what is less than one byte must not become no limit at all. */
export function rateOf(value = 0): number {
  if (value === 0 || (value >= 1 && value <= Number.MAX_SAFE_INTEGER)) return Math.floor(value);
  throw new TransferError('E_USAGE', `the limit is ${value}; bytes per second were expected, or 0 for no limit`);
}

function algorithmOf(value: Algorithm = 'xxh64'): Algorithm {
  if (Object.hasOwn(DIGEST_BYTES, value)) return value;
  throw new TransferError('E_USAGE', `the algorithm is ${value}; one of ${Object.keys(DIGEST_BYTES)} was expected`);
}

/** A path that is neither of the two ends, as far as that can be told before they are looked at. */
export function manifestOf({ manifest, source, target }: CopyOptions): string | undefined {
  if (manifest === undefined) return undefined;
  const path = resolve(manifest);
  const ends = [source, target, join(target, basename(source))].map((end) => resolve(end));
  if (manifest !== '' && !ends.includes(path)) return manifest;
  throw new TransferError(
    'E_USAGE',
    `the manifest cannot be ${manifest === '' ? 'nameless' : 'source or target too'}`,
    {
      hint: 'Give it a name of its own. Nothing was changed.',
    },
  );
}

function reflinkOf(value: Reflink = 'auto'): Reflink {
  if (['auto', 'always', 'never'].includes(value)) return value;
  throw new TransferError('E_USAGE', `reflink is ${value}; auto, always or never was expected`);
}

export function checksumRequest(value: ChecksumRequest | undefined): ChecksumRequest | undefined {
  if (value === undefined) return undefined;
  const { algorithm, expected } = value;
  const known = algorithm === 'sha256' && (expected === undefined || /^[0-9a-f]{64}$/i.test(expected));
  if (known) return { algorithm, ...(expected !== undefined && { expected: expected.toLowerCase() }) };
  const given = expected === undefined ? algorithm : `${algorithm}:${expected}`;
  throw new TransferError('E_USAGE', `the checksum is ${given}; sha256, or sha256: and 64 hex digits, was expected`);
}
