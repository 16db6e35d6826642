/**
 * What a merge will do, found by looking alone: which image goes into which, in an order in which every byte is written
 * once a step, and whether anything is in the way. Merges of images of this chain that were cut short come first.
 */
import { dirname, resolve } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { isOpenForWriting } from '../platform/open-elsewhere.js';
import { showPath } from '../platform/path-bytes.js';
import { childrenOf } from './children.js';
import { OpenDiskFile } from './disk-file.js';
import { heldIn } from './held-map.js';
import type { DiskImage } from './image.js';
import { finishGone, type MergeStep } from './merge.js';
import { fromHere, mergesIn, peekMerge } from './merge-record.js';
import { type ChainOpener, type OpenedLink, openChain } from './open-chain.js';
import { realPath } from './parent-places.js';

export interface MergeWish {
  readonly child: Location;
  /** The last image that is merged into; absent: the child's parent. */
  readonly into?: 'base' | Location;
  readonly keep: boolean;
  /** Go on although other images build on one that is changed or goes; they cannot be used any more then. */
  readonly breakOthers: boolean;
  readonly parentFolders?: readonly string[];
}

export interface PlannedStep extends MergeStep {
  /** Bytes of the disk that go over. */
  readonly bytes: number;
}

/** Empty: nothing is left to do. @throws TransferError E_USAGE, E_LOCKED, E_DISK_PARENT, E_DISK_FORMAT */
export async function planMerge(wish: MergeWish, opener: ChainOpener, files: FileLayer): Promise<PlannedStep[]> {
  const { parentFolders = [] } = wish;
  const location = realLocation(wish.child);
  // An earlier run had merged it, and only its record was left.
  if (location.scheme === 'file' && finishGone(files, location.text)) return [];
  const opened = await openChain({ location, parentFolders }, opener);
  try {
    const links = upTo(opened.links, wish);
    const paths = links.map((link) => link.location.text);
    const begun = unfinished(files, paths);
    const resumes = begun.length > 0 || paths.some((path) => peekMerge(files, path) !== undefined);
    const others = resumes ? [] : await strangers(files, links);
    if (others.length > 0 && !wish.breakOthers) throw wouldBreak(others);
    const top = links[0] as OpenedLink;
    const above = await childrenOf(files, { path: paths[0] as string, ...known(top.image) }, foldersOf(paths));
    const steps = [...begun, ...stepsOf(links, above, wish.keep)];
    assertUnused(files, steps);
    return await Promise.all(steps.map(async (step) => ({ ...step, bytes: await bytesOf(step, links) })));
  } finally {
    await opened.close();
  }
}

/** A merge is known by the files themselves, whatever links lead to them. */
export function realLocation(location: Location): Location {
  return location.scheme === 'file' ? { ...location, text: realPath(resolve(location.text)) } : location;
}

const known = ({ identity }: DiskImage): { identity?: string } => (identity === undefined ? {} : { identity });
const foldersOf = (paths: readonly string[]): string[] => [...new Set(paths.map((path) => dirname(path)))];

/** The links from the child to the one that is merged into. */
function upTo(links: readonly OpenedLink[], { into }: MergeWish): readonly OpenedLink[] {
  const [first] = links as [OpenedLink];
  const foreign = links.find(({ location }) => location.scheme !== 'file');
  if (foreign) throw notHere(foreign);
  if (links.length === 1) throw noParent(first);
  if (into === undefined) return links.slice(0, 2);
  if (into === 'base') return links;
  const last = links.findIndex(({ location }) => location.text === realLocation(into).text);
  if (last > 0) return links.slice(0, last + 1);
  const names = links.slice(1).map(({ source }) => source.name);
  throw new TransferError('E_USAGE', `${first.source.name} does not build on ${into.name}`, {
    hint: `It builds on ${names.join(', and that on ')}. Nothing was changed.`,
  });
}

function notHere({ source }: OpenedLink): TransferError {
  return new TransferError('E_USAGE', `${source.name} is no file of this machine`, {
    hint: 'Images are merged in place, and only files can be changed so.',
  });
}

function noParent({ source, image }: OpenedLink): TransferError {
  return new TransferError('E_USAGE', `${source.name} has no parent that it could be merged into`, {
    hint: `It is a ${image.format} image (${image.kind}) that stands alone. Nothing was changed.`,
  });
}

/** From the bottom up, each into the last: so no byte is carried more than once. */
function stepsOf(links: readonly OpenedLink[], above: readonly string[], keep: boolean): MergeStep[] {
  const parent = links.at(-1) as OpenedLink;
  const steps = links.slice(0, -1).map((child, at): MergeStep => {
    const over = links[at - 1];
    return {
      child: child.location.text,
      parent: parent.location.text,
      childFormat: child.image.format,
      parentFormat: parent.image.format,
      grandchildren: over ? [over.location.text] : above,
      keep,
    };
  });
  return steps.reverse();
}

/** Merges that were cut short after the image above had been re-pointed, so that the chain does not show them. */
function unfinished(files: FileLayer, chain: readonly string[]): MergeStep[] {
  return foldersOf(chain)
    .flatMap((folder) => mergesIn(files, folder))
    .filter(({ child }) => !chain.includes(child))
    .map(({ child, header }) => ({
      child,
      parent: fromHere(child, header.parent),
      childFormat: header.childFormat,
      parentFormat: header.parentFormat,
      grandchildren: header.grandchildren.map((path) => fromHere(child, path)),
      keep: header.keep,
    }))
    .filter(({ parent, grandchildren }) => chain.includes(parent) && grandchildren.some((path) => chain.includes(path)))
    .filter(({ child }) => !finishGone(files, child));
}

/** Images outside of the chain that build on a link of it below the child. */
async function strangers(files: FileLayer, links: readonly OpenedLink[]): Promise<string[]> {
  const paths = links.map(({ location }) => location.text);
  const found: string[] = [];
  for (const { location, image } of links.slice(1)) {
    found.push(...(await childrenOf(files, { path: location.text, ...known(image) }, foldersOf(paths))));
  }
  return found.filter((path) => !paths.includes(path));
}

function wouldBreak(others: readonly string[]): TransferError {
  const shown = others.slice(0, 5).map(showPath).join(', ');
  const more = others.length > 5 ? ` and ${others.length - 5} more` : '';
  return new TransferError('E_USAGE', `other images build on what would be changed: ${shown}${more}`, {
    hint: [
      'Their disks would be wrong afterwards. Merge or copy (--flatten) them first.',
      'If nobody needs them any more, --break-others merges all the same. Nothing was changed.',
    ].join('\n'),
  });
}

function assertUnused(files: FileLayer, steps: readonly MergeStep[]): void {
  const paths = new Set(steps.flatMap(({ child, parent, grandchildren }) => [child, parent, ...grandchildren]));
  for (const path of paths) {
    const file = OpenDiskFile.open(files, path, 'read');
    try {
      if (isOpenForWriting(file.fd)) throw inUse(path);
    } finally {
      file.close();
    }
  }
}

function inUse(path: string): TransferError {
  return new TransferError('E_LOCKED', `${showPath(path)} is open for writing in another process`, {
    hint: 'Shut down the machine that uses it, or wait until it is finished. Nothing was changed.',
  });
}

async function bytesOf({ child }: MergeStep, links: readonly OpenedLink[]): Promise<number> {
  const image = links.find(({ location }) => location.text === child)?.image;
  let bytes = 0;
  if (image) for await (const { length } of heldIn(image, image.size)) bytes += length;
  return bytes;
}
