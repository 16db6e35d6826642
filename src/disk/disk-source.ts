/**
 * The guest's content of a disk as the source of a copy: what is allocated is data, the rest are holes. Tables are read
 * once, when it is opened; the ref carries them to every thread.
 */
import type { ByteRange } from '../core/chunk.js';
import {
  type ChunkReader,
  type EndpointRef,
  type Extent,
  inTheMannerOf,
  type Source,
  type Version,
} from '../core/endpoint.js';
import { DiskChain } from './chain.js';
import { diskBytes } from './disk-bytes.js';
import { DISK_SCHEME } from './disk-location.js';
import { attachImage } from './formats.js';
import type { DiskFormat, ImageRef } from './image.js';
import type { OpenedLink } from './open-chain.js';
import { readRuns } from './run-reader.js';

interface DiskRef extends EndpointRef {
  /** The child first. */
  readonly links: readonly { readonly container: EndpointRef; readonly image: ImageRef }[];
}

type SourceLink = Pick<OpenedLink, 'image' | 'bytes' | 'source'>;

/** What the content of a disk is made of; undefined: the source is no such content. */
export function linksOf(source: Source): readonly SourceLink[] | undefined {
  return source instanceof DiskSource ? source.links : undefined;
}

/** The format of the child. */
export function formatOf(disk: EndpointRef): DiskFormat {
  return (disk as DiskRef).links[0]?.image.format ?? 'raw';
}

/** Takes the links over: closing the source closes them. */
export async function diskSource(links: readonly SourceLink[]): Promise<Source> {
  const source = new DiskSource(links);
  return Object.assign(source, { allocatedBytes: await source.countAllocated() });
}

export async function attachDiskSource(
  ref: EndpointRef,
  attach: (container: EndpointRef) => Source | Promise<Source>,
): Promise<Source> {
  const attached = (ref as DiskRef).links.map(async ({ container, image }) => {
    const source = await attach(inTheMannerOf(ref, container));
    const bytes = diskBytes(source);
    return { source, bytes, image: await attachImage(image, bytes) };
  });
  return new DiskSource(await Promise.all(attached), ref);
}

const WEAKEST_FIRST = ['none', 'weak', 'strong'] as const;

/** All that a disk is made of; a change of any of it is one of the disk. */
function versionOf(links: readonly SourceLink[]): Version {
  const strengths = links.map(({ source }) => source.version.strength);
  const strength = WEAKEST_FIRST.find((weak) => strengths.includes(weak)) ?? 'none';
  const values = links.map(({ image, source }) => `${image.format} ${source.version.value}`);
  const changedNs = joinedTimes(links.map(({ source }) => source.version.changedNs));
  return { strength, value: `content of ${values.join(' on ')}`, ...(changedNs !== undefined && { changedNs }) };
}

function joinedTimes(times: readonly (string | undefined)[]): string | undefined {
  return times.every((time) => time === undefined) ? undefined : times.map((time) => time ?? '').join(' ');
}

class DiskSource implements Source {
  readonly ref: DiskRef;
  readonly of = 'content';
  readonly name: string;
  readonly fileName: string;
  readonly size: number;
  readonly sizeIs: Source['sizeIs'];
  readonly version: Version;
  readonly mode?: number;
  readonly modifiedNs?: string;
  readonly identity?: NonNullable<Source['identity']>;
  readonly alsoReads: NonNullable<Source['alsoReads']>;
  readonly readsPerWorker: number;
  readonly attributes?: NonNullable<Source['attributes']>;
  readonly links: readonly SourceLink[];
  readonly #chain: DiskChain;

  constructor(links: readonly SourceLink[], manner: EndpointRef = { scheme: DISK_SCHEME }) {
    const [child] = links as [SourceLink];
    const { name, fileName, sizeIs, mode, modifiedNs, identity, attributes } = child.source;
    this.links = links;
    this.#chain = new DiskChain(links as [SourceLink, ...SourceLink[]]);
    const refs = links.map(({ source, image }) => ({ container: source.ref, image: image.ref }));
    this.ref = inTheMannerOf(manner, { scheme: DISK_SCHEME, links: refs });
    this.name = name;
    this.fileName = fileName;
    this.size = this.#chain.size;
    this.sizeIs = sizeIs;
    this.version = versionOf(links);
    this.readsPerWorker = Math.max(...links.map(({ source }) => source.readsPerWorker));
    this.alsoReads = links.slice(1).flatMap(({ source }) => source.identity ?? []);
    if (mode !== undefined) this.mode = mode;
    if (modifiedNs !== undefined) this.modifiedNs = modifiedNs;
    if (identity) this.identity = identity;
    if (attributes) this.attributes = () => attributes.call(child.source);
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkReader {
    return readRuns(this.#chain, range, (link, place) => {
      const { source } = this.links[link] as SourceLink;
      return source.openChunk(place, signal);
    });
  }

  async *extents(range: ByteRange): AsyncGenerator<Extent> {
    let { offset } = range;
    for await (const { kind, length } of this.#chain.allocation(range)) {
      if (length > 0) yield { kind, offset, length };
      offset += length;
    }
  }

  async countAllocated(): Promise<number> {
    let bytes = 0;
    for await (const { kind, length } of this.#chain.allocation({ offset: 0, length: this.size })) {
      if (kind === 'data') bytes += length;
    }
    return bytes;
  }

  async assertUnchanged(): Promise<string | undefined> {
    const changed: (string | undefined)[] = [];
    for (const { source } of this.links) changed.push(await source.assertUnchanged());
    return joinedTimes(changed);
  }

  async detach(): Promise<void> {
    for (const { source } of this.links) await source.detach?.();
  }

  async close(): Promise<void> {
    for (const { source } of this.links) await source.close();
  }
}
