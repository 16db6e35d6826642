/**
 * Opens an image together with the images that it builds on, child first. Containers are opened by whoever knows their
 * scheme; here it is decided which file is a parent. A parent is what the child means, or it is none: never a file that
 * only has the name, and never one that the image has no business to make us read.
 */
import { resolve } from 'node:path';
import { type Location, type Source, sameIdentity } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { realFiles } from '../platform/file-layer.js';
import { showPath } from '../platform/path-bytes.js';
import { type ChainLink, DiskChain } from './chain.js';
import { diskBytes } from './disk-bytes.js';
import { openImage, probeFormat } from './formats.js';
import type { DiskFormat, DiskImage, ParentLink } from './image.js';
import { fromHere, peekMerge } from './merge-record.js';
import { meansIdentity, parentPlaces, realPath } from './parent-places.js';

/** Far more than anybody has: each link is one more file to look into for every byte. */
export const CHAIN_LINKS_MAX = 64;

export interface ChainOpener {
  /** Opens a container. @throws TransferError E_SOURCE_MISSING, E_SOURCE_KIND, E_SOURCE_ACCESS where there is none */
  readonly open: (location: Location) => Promise<Source>;
  /** Understands a URL. */
  readonly locate: (text: string) => Location;
}

export interface ChainRequest {
  readonly location: Location;
  /** Of the child; absent: what its own marks say. */
  readonly format?: DiskFormat;
  /** Folders in which parents may be, whatever they are known by. */
  readonly parentFolders?: readonly string[];
  /** False: an image that has a parent is refused. */
  readonly parents?: boolean;
  /** Called with each link as it is opened, also where the chain then ends in an error. */
  readonly onOpened?: (link: OpenedLink) => Promise<void>;
}

/** Why there is no chain. */
export type ChainProblem = 'missing' | 'other' | 'cycle' | 'long';

export class ChainError extends TransferError {
  readonly problem: ChainProblem;

  constructor(problem: ChainProblem, message: string, hint: string) {
    super('E_DISK_PARENT', message, { hint });
    this.problem = problem;
  }
}

/** One file of a chain. */
export interface OpenedLink extends ChainLink {
  readonly location: Location;
  readonly source: Source;
}

export interface OpenedChain {
  readonly chain: DiskChain;
  /** The child first; as many as the chain has. */
  readonly links: readonly OpenedLink[];
  /** Closes all containers. */
  close(): Promise<void>;
}

/** @throws TransferError E_DISK_FORMAT, E_DISK_PARENT, and whatever the opening of a container throws */
export async function openChain(request: ChainRequest, opener: ChainOpener): Promise<OpenedChain> {
  const { location, format, parentFolders = [], parents = true, onOpened } = request;
  const links: OpenedLink[] = [];
  const close = async (): Promise<void> => {
    for (const { source } of links) await source.close();
  };
  try {
    const first = await openLink(location, opener, format);
    links.push(first);
    await onOpened?.(first);
    if (first.image.parent && !parents) throw hasParent(first);
    for (let child = first; child.image.parent; ) {
      if (links.length === CHAIN_LINKS_MAX) throw tooLong(first);
      child = await openParent(links, child.image.parent, parentFolders, opener);
      links.push(child);
      await onOpened?.(child);
    }
    return { chain: new DiskChain([first, ...links.slice(1)]), links, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** The image without those that it builds on; what it leaves to them is zero in this chain. */
export async function openAlone({ location, format }: ChainRequest, opener: ChainOpener): Promise<OpenedChain> {
  const link = await openLink(location, opener, format);
  return { chain: new DiskChain([link]), links: [link], close: () => link.source.close() };
}

async function openLink(location: Location, { open }: ChainOpener, format?: DiskFormat): Promise<OpenedLink> {
  const source = await open(location);
  return withSource(source, async () => {
    const bytes = diskBytes(source);
    return { location, source, bytes, image: await openImage(bytes, format) };
  });
}

async function withSource<T>(source: Source, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

const UNNAMED = 'the child does not say of which format it is';
const OUTSIDE = 'outside of the folder of its child, which knows its parent by name only';
const ANOTHER = 'another disk';
const NOT_THERE: ReadonlySet<string> = new Set(['E_SOURCE_MISSING', 'E_SOURCE_KIND', 'E_SOURCE_ACCESS']);

/** Tries one place after the other; what is there and is not the parent is told, and the next one is tried. */
async function openParent(
  links: readonly OpenedLink[],
  link: ParentLink,
  parentFolders: readonly string[],
  opener: ChainOpener,
): Promise<OpenedLink> {
  const child = links.at(-1) as OpenedLink;
  const tried: string[] = [];
  const places = parentPlaces({ child: child.location, link, parentFolders, locate: opener.locate });
  for (const { location, trusted } of places) {
    const leaks = !trusted && link.identity === undefined;
    const found = leaks ? OUTSIDE : await openPlace(links, link, location, opener);
    if (typeof found !== 'string') return found;
    tried.push(`${location.name}: ${found}`);
  }
  throw noParent(child, link, tried);
}

/** The parent, or why it is none, as the end of a sentence. */
async function openPlace(
  links: readonly OpenedLink[],
  link: ParentLink,
  location: Location,
  opener: ChainOpener,
): Promise<OpenedLink | string> {
  let source: Source;
  try {
    source = await opener.open(location);
  } catch (thrown) {
    if (thrown instanceof TransferError && NOT_THERE.has(thrown.code)) return 'not there, or not to be read';
    throw thrown;
  }
  return withSource(source, async () => {
    assertNoCycle(links, location, source);
    const bytes = diskBytes(source);
    const format = await probeFormat(bytes);
    const why = whyNotOfFormat(link, format);
    if (why !== undefined) {
      await source.close();
      return why;
    }
    const image = await openImage(bytes, link.format ?? format);
    const other = isBeingMerged(links.at(-1), location, image) ? undefined : whyNotMeant(link, image);
    if (other === undefined) return { location, source, bytes, image };
    await source.close();
    return other;
  });
}

/**
 * A guest that may write to all of a raw disk can make it begin like an image that names any file of the host as its
 * parent. So a format is never guessed where the child knows its parent by name only.
 */
function whyNotOfFormat({ identity, format }: ParentLink, probed: DiskFormat): string | undefined {
  // Whatever a raw disk holds, it is one when the child says so.
  if (format !== undefined) return format === 'raw' || format === probed ? undefined : `it looks like ${probed}`;
  if (identity !== undefined || probed === 'qcow2') return undefined;
  return `${UNNAMED}, and it looks like ${probed}`;
}

function whyNotMeant(link: ParentLink, image: DiskImage): string | undefined {
  if (meansIdentity(link, image.identity)) return undefined;
  return `${ANOTHER}, known by ${image.identity ?? 'no identity'}`;
}

/** A merge that was cut short between the parent's new identity and the end of the child: the disk still reads so. */
function isBeingMerged(child: OpenedLink | undefined, parent: Location, { identity }: DiskImage): boolean {
  if (child?.location.scheme !== 'file' || identity === undefined) return false;
  const path = realPath(resolve(child.location.text));
  const merge = peekMerge(realFiles, path);
  if (!merge || fromHere(path, merge.header.parent) !== parent.text) return false;
  return merge.identities.includes(identity);
}

function assertNoCycle(links: readonly OpenedLink[], location: Location, source: Source): void {
  const at = links.findIndex(
    (link) => sameIdentity(link.source.identity, source.identity) || link.location.text === location.text,
  );
  if (at < 0) return;
  const names = [...links.slice(at), { source }].map((link) => link.source.name);
  const hint =
    'Each of these images builds on the next, so none of them has a bottom. One of them names a wrong parent.';
  throw new ChainError('cycle', `the chain of ${links[0]?.source.name} is a cycle: ${names.join(' → ')}`, hint);
}

function hasParent({ source, image }: OpenedLink): TransferError {
  const [path] = image.parent?.paths ?? [];
  const parent = path ? ` of ${showPath(path.path)}` : '';
  return new TransferError('E_USAGE', `${source.name} is a ${image.kind} image${parent}: it is no whole disk alone`, {
    hint: 'Say --flatten to get one disk out of it and its parents.',
  });
}

function tooLong({ source }: OpenedLink): TransferError {
  const message = `${source.name} has a chain of more than ${CHAIN_LINKS_MAX} images`;
  return new ChainError('long', message, 'Merge some of them first.');
}

function noParent({ source }: OpenedLink, link: ParentLink, tried: readonly string[]): TransferError {
  const name = link.paths[0]?.path;
  const wanted = [
    name === undefined ? 'a parent without a name' : showPath(name),
    ...(link.identity === undefined ? [] : [`known by ${showPath(link.identity)}`]),
    ...(link.format === undefined ? [] : [`of format ${link.format}`]),
  ].join(', ');
  const looked = tried.length === 0 ? 'there is no place where it could be' : `looked for at ${tried.join('; ')}`;
  const problem = tried.some((why) => why.includes(ANOTHER)) ? 'other' : 'missing';
  const message = `${source.name} builds on ${wanted}, which was not found: ${looked}`;
  return new ChainError(problem, message, hintFor(tried));
}

function hintFor(tried: readonly string[]): string {
  if (!tried.some((why) => why.includes(UNNAMED))) return 'Say with --parents <folder> where its parents are.';
  return 'If you trust it, write the format into the child: qemu-img rebase -u -F <format> -b <parent> <child>';
}
