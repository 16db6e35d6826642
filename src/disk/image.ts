/**
 * A disk image as one file of a chain sees itself: how large the disk is, and where each of its bytes is. What an image
 * leaves to its parent is `absent`; only the chain knows what stands there. All offsets and lengths are bytes.
 */
import type { ByteRange } from '../core/chunk.js';
import type { Extent } from '../core/endpoint.js';
import type { DiskFile, ImageWriter } from './image-writer.js';

export type DiskFormat = 'raw' | 'vhd' | 'vhdx' | 'qcow2';

/** What a run of guest bytes is in one image. */
export type Run =
  /** It stands in the file, as it is, from byte `at` on. */
  | { readonly kind: 'data'; readonly length: number; readonly at: number }
  /** It reads as zero, whatever a parent has there. */
  | { readonly kind: 'zero'; readonly length: number }
  /** The parent's bytes; zero where there is no parent, or where the parent is shorter. */
  | { readonly kind: 'absent'; readonly length: number }
  /** The image makes it: compressed clusters, bytes of a log that was replayed in memory. At most 2 MiB each. */
  | { readonly kind: 'made'; readonly length: number; readonly make: () => Uint8Array | Promise<Uint8Array> };

/** What a run of guest bytes is, as far as the allocation tables alone can tell: `data` may turn out to be anything. */
export interface Allocation {
  readonly kind: 'data' | 'zero' | 'absent';
  readonly length: number;
}

export interface DiskImage {
  readonly ref: ImageRef;
  /** For people: the container, and what it is, such as `dynamic` or `differencing`. */
  readonly format: DiskFormat;
  readonly kind: string;
  /** Bytes that a guest sees. */
  readonly size: number;
  /** Bytes of the format's unit of allocation; 0: it allocates nothing by itself. */
  readonly blockBytes: number;
  /** Bytes of the sectors that a guest counts in; absent: the format does not say. */
  readonly sectorBytes?: number;
  /** What a child must name to be a child of this image, in lower case; absent where the format has no such thing. */
  readonly identity?: string;
  /** Absent: the image stands alone. */
  readonly parent?: ParentLink;
  /** Further things that people may want to know, such as the creator; names are words in lower case. */
  readonly facts?: Readonly<Record<string, string>>;
  /**
   * The range's runs in order and without gaps, down to the sector; neighbours of one kind may come apart. Reads what
   * it needs of the file. @throws TransferError E_DISK_FORMAT naming structure and offset
   */
  runs(range: ByteRange): Iterable<Run> | AsyncIterable<Run>;
  /** The same from the allocation tables alone, for planning: quick, also for a whole disk of many TiB. */
  allocation(range: ByteRange): Iterable<Allocation> | AsyncIterable<Allocation>;
}

/** Plain and cloneable; tables lie in shared memory. From it any thread has the same image without reading the file. */
export interface ImageRef {
  readonly format: DiskFormat;
}

/** How an image names its parent. Texts come from the file: hostile until they are checked. */
export interface ParentLink {
  /** Absent: the image does not say. */
  readonly format?: DiskFormat;
  /** The parent's {@link DiskImage.identity}. Absent: the format knows parents by name only. */
  readonly identity?: string;
  /** Names the same parent as well: another program was about to give it a new identity. */
  readonly otherIdentity?: string;
  /** In the order in which they are to be tried. */
  readonly paths: readonly ParentPath[];
  /** When the parent was last changed, in milliseconds since 1970. Absent: not known, or not said by the format. */
  readonly modifiedAtMs?: number;
}

/** A parent that is there; without an identity only where its format has none. */
export type NewParent = Omit<ParentLink, 'otherIdentity'> & { readonly format: DiskFormat };

export interface ParentPath {
  /** `relative`: to the folder of the image that names it. */
  readonly kind: 'relative' | 'absolute';
  /** With slashes, whatever the format uses. */
  readonly path: string;
}

/** What the file of a format offers. */
export interface ImageFormat {
  /** @throws TransferError E_DISK_FORMAT naming structure and offset */
  open(bytes: DiskBytes): Promise<DiskImage>;
  /** The same image from its ref; reads nothing. */
  attach(ref: ImageRef, bytes: DiskBytes): DiskImage;
  /** Looks at every structure of the file and goes on after what it finds. */
  check(bytes: DiskBytes, found: Findings): Promise<void>;
  /** Opens the image for writing in place. Absent: this version does not write into such an image. */
  openWriter?(file: DiskFile): Promise<ImageWriter>;
  /** Makes the image name another parent, in place; a crash leaves the old link or the new one. */
  repoint?(file: DiskFile, parent: NewParent): Promise<void>;
}

/** The container's bytes. */
export interface DiskBytes {
  /** For people. */
  readonly name: string;
  readonly size: number;
  /**
   * At most 16 MiB in one go.
   * @throws TransferError E_DISK_FORMAT when the range is not whole in the file: `what` is named as what was to be read
   */
  read(range: ByteRange, what: string): Promise<Buffer>;
  /** As of a source: where the container itself is known to have holes. Absent: that is not known. */
  extents?(range: ByteRange): Iterable<Extent> | AsyncIterable<Extent>;
}

/** Wrong: the content cannot be trusted. Doubtful: it can be read, but somebody should know. */
export type Severity = 'wrong' | 'doubtful';

export interface Finding {
  /** Stable, such as `vhd-footer-checksum`; docs/disks.md lists them all. */
  readonly code: string;
  readonly severity: Severity;
  /** A sentence: what was expected and what was found. */
  readonly message: string;
  /** Where in the container, in bytes. */
  readonly offset?: number;
}

/** Takes what a check finds, and keeps it within bounds. */
export interface Findings {
  add(finding: Finding): void;
}
