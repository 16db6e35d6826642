/** `openDisk()`: what a disk image is, what it builds on, what it has allocated, and what its guest sees. */
import { performerParts } from '../compose.js';
import type { ByteRange } from '../core/chunk.js';
import type { Extent, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';
import { NEVER } from '../core/stop.js';
import { formatBytes, MiB } from '../core/units.js';
import type { DiskFormat } from '../disk/image.js';
import type { OpenedLink } from '../disk/open-chain.js';
import { locationOf } from './options.js';
import { overHttp } from './over-http.js';

const READ_BYTES_MAX = 16 * MiB;

export interface OpenDiskOptions {
  /** Absent: what the file's own marks say; where there are none, it is raw. */
  readonly format?: DiskFormat;
  /** Folders in which images that others build on are looked for, too. */
  readonly parentFolders?: readonly string[];
  /** How an image is asked for that is reached over HTTP. */
  readonly http?: HttpOptions;
}

/** One file of a disk. */
export interface DiskLink {
  readonly name: string;
  readonly format: DiskFormat;
  /** Such as `dynamic` or `differencing`. */
  readonly kind: string;
  /** Bytes that a guest would see of this image. */
  readonly size: number;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Bytes of the format's unit of allocation; 0: it has none. */
  readonly blockBytes: number;
  /** What images that build on this one know it by. */
  readonly identity?: string;
  /** Bytes of the sectors that a guest counts in; absent: the format does not say. */
  readonly sectorBytes?: number;
}

/**
 * Opens a disk image with all that it builds on, on the thread that calls.
 * @throws TransferError E_DISK_FORMAT, E_DISK_PARENT, and those of a source that cannot be opened
 */
export async function openDisk(location: string, options: OpenDiskOptions = {}): Promise<Disk> {
  const [{ registry }, { openDiskSource }] = [await performerParts(), await import('../transfer/disk-ends.js')];
  const { format, parentFolders, http } = options;
  const [image] = overHttp(http, [locationOf('location', location)]);
  const request = {
    location: image,
    ...(format !== undefined && { format }),
    ...(parentFolders && { parentFolders }),
  };
  const { source, links } = await openDiskSource(request, registry);
  return new Disk(source, links.map(describe));
}

/** An open disk. */
export class Disk {
  /** The image that was opened first, then what it builds on. */
  readonly links: readonly DiskLink[];
  /** Bytes that the guest sees. */
  readonly size: number;
  readonly format: DiskFormat;
  readonly kind: string;
  readonly #source: Source;

  /** @internal */
  constructor(source: Source, links: readonly DiskLink[]) {
    this.#source = source;
    this.links = links;
    const [{ format, kind }] = links as [DiskLink];
    this.size = source.size;
    this.format = format;
    this.kind = kind;
  }

  /** What the tables tell of the range, or of all: in order, without gaps. `data` may turn out to be zero. */
  async *allocation(range: ByteRange = { offset: 0, length: this.size }): AsyncGenerator<Extent> {
    this.#assertInside(range);
    yield* this.#source.extents?.(range, NEVER) ?? [];
  }

  /** What the guest sees there; at most 16 MiB in one go. */
  async read(range: ByteRange): Promise<Uint8Array> {
    this.#assertInside(range);
    if (range.length > READ_BYTES_MAX) {
      const most = formatBytes(READ_BYTES_MAX);
      throw new TransferError('E_USAGE', `${range.length} bytes in one go; at most ${most} were expected`);
    }
    const into = new Uint8Array(range.length);
    const reader = this.#source.openChunk(range, NEVER);
    try {
      if ((await reader.next(into)) === into.length) return into;
    } finally {
      reader.close();
    }
    throw new TransferError('E_SOURCE_CHANGED', `${this.links[0]?.name} ended before its ${this.size} bytes`);
  }

  /** Closes all files of the disk. */
  close(): Promise<void> {
    return this.#source.close();
  }

  #assertInside({ offset, length }: ByteRange): void {
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (whole && offset <= this.size - length) return;
    throw new TransferError('E_USAGE', `${length} bytes at byte ${offset} are not inside of a disk of ${this.size}`);
  }
}

function describe({ source, image }: OpenedLink): DiskLink {
  const { format, kind, size, blockBytes, identity, sectorBytes } = image;
  const about = { name: source.name, format, kind, size, fileBytes: source.size, blockBytes };
  return {
    ...about,
    ...(identity !== undefined && { identity }),
    ...(sectorBytes !== undefined && { sectorBytes }),
  };
}
