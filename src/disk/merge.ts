/**
 * Merges one image into the one that it builds on, in place. At every moment the disk reads the same through its
 * chain; the child goes only after all of it is durable in the parent, and whoever built on it builds on the parent by
 * then. Whatever ends the merge, the same call goes on with it: what the files do not tell is on record beside the
 * child.
 */
import { basename, dirname, relative } from 'node:path';
import { TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { isOpenForWriting } from '../platform/open-elsewhere.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { type Carried, type CarryHost, carryOver } from './carry-over.js';
import { type ChainLink, DiskChain } from './chain.js';
import type { OpenDiskFile } from './disk-file.js';
import { formatNamed } from './formats.js';
import { HeldFiles } from './held-files.js';
import type { DiskFormat, DiskImage } from './image.js';
import type { ImageWriter } from './image-writer.js';
import { addsNothing } from './merge-compare.js';
import { type BegunMerge, fromHere, type MergeProgress, MergeRecord } from './merge-record.js';
import { assertRoom, heldMap } from './merge-room.js';
import { type ChainOpener, openChain } from './open-chain.js';
import { meansIdentity } from './parent-places.js';
import { openToRepoint, repoint } from './repoint.js';

export interface MergeStep {
  /** Absolute paths, without links. */
  readonly child: string;
  readonly parent: string;
  readonly childFormat: DiskFormat;
  readonly parentFormat: DiskFormat;
  /** Images that build on the child. */
  readonly grandchildren: readonly string[];
  /** The child is left where it is. */
  readonly keep: boolean;
}

export interface MergeHost extends Omit<CarryHost, 'reached'> {
  readonly files: FileLayer;
  /** Opens what the parent builds on, where it does. */
  readonly opener: ChainOpener;
}

export interface Merged extends Carried {
  readonly child: string;
  readonly parent: string;
  /** Images that build on the parent now, instead of on the child. */
  readonly repointed: readonly string[];
  readonly kept: boolean;
  /** An earlier run had begun it. */
  readonly resumed: boolean;
}

interface End {
  readonly file: OpenDiskFile;
  readonly image: DiskImage;
}

const NOTHING: Carried = { bytesWritten: 0, bytesFound: 0, bytesZero: 0 };

/** @throws TransferError E_STOPPED and others; the same call goes on */
export async function mergeStep(step: MergeStep, host: MergeHost): Promise<Merged> {
  const held = new HeldFiles(host.files);
  let record: MergeRecord | undefined;
  try {
    const child = await openEnd(await held.open(step.child, 'read'), step.childFormat);
    const parent = await openEnd(await held.open(step.parent, 'write'), step.parentFormat);
    const earlier = MergeRecord.open(host.files, step.child);
    record = earlier?.record;
    const paths = earlier ? absolute(step, earlier.progress.header.grandchildren) : step.grandchildren;
    const grandchildren: OpenDiskFile[] = [];
    for (const path of paths) grandchildren.push(await openToRepoint(held, path));
    if (earlier) assertSamePair(earlier.progress, step, parent);
    else await assertPossible(step, child, parent);
    const { stamp } = child.file;
    const isMerged = earlier !== undefined && (await isMergedStill({ child, parent }, earlier.progress, host));
    const writer = isMerged || grows(child, parent) ? undefined : await writerOf(parent);
    const begun = earlier ?? begin(step, parent, host.files);
    record = begun.record;
    const ends = { child, parent, writer };
    const carried = isMerged ? NOTHING : await withChain(ends, host, (chain) => writeOver(ends, chain, begun, host));
    const { image } = await openEnd(parent.file, step.parentFormat);
    const { modifiedAtMs } = parent.file;
    for (const file of grandchildren) await repoint(file, { path: step.parent, image, modifiedAtMs });
    assertUntouched(child.file, stamp);
    tidyUp(step.child, begun, host.files);
    const { keep } = begun.progress.header;
    const { child: childPath, parent: parentPath } = step;
    return { ...carried, child: childPath, parent: parentPath, repointed: paths, kept: keep, resumed: !!earlier };
  } finally {
    record?.close();
    held.release();
  }
}

async function openEnd(file: OpenDiskFile, format: DiskFormat): Promise<End> {
  return { file, image: await (await formatNamed(format)).open(file) };
}

function absolute({ child }: MergeStep, paths: readonly string[]): string[] {
  return paths.map((path) => fromHere(child, path));
}

/** Looks at all that could be in the way. */
async function assertPossible(step: MergeStep, child: End, parent: End): Promise<void> {
  const named = child.image.parent;
  if (!named || !meansIdentity(named, parent.image.identity)) throw notItsParent(step);
  assertSizes(step, child.image, parent.image);
  await assertRoom(child.image, parent);
}

/** Puts on record what is going to be done. */
function begin(step: MergeStep, { image: { identity } }: End, files: FileLayer): BegunMerge {
  const here = (path: string): string => relative(dirname(step.child), path);
  return MergeRecord.begin(files, step.child, {
    child: basename(step.child),
    childFormat: step.childFormat,
    parent: here(step.parent),
    parentFormat: step.parentFormat,
    ...(identity !== undefined && { parentIdentity: identity }),
    grandchildren: step.grandchildren.map(here),
    keep: step.keep,
  });
}

/** What an earlier run began must be what is asked for now, and nobody else may have written to the parent. */
function assertSamePair({ header, identities }: MergeProgress, step: MergeStep, { image }: End): void {
  const parent = fromHere(step.child, header.parent);
  if (parent !== step.parent || header.parentFormat !== step.parentFormat) {
    throw new TransferError('E_USAGE', `${showPath(step.child)} is being merged into ${showPath(parent)} already`, {
      hint: 'Finish that merge first: run the command that began it again.',
    });
  }
  if (image.identity === undefined || identities.includes(image.identity)) return;
  throw new TransferError('E_DISK_PARENT', `${showPath(parent)} was changed by something else since the merge began`, {
    hint: [
      'It has another identity than the merge gave it, so the rest of the child may not fit it any more.',
      `Put back the parent as the merge left it, and run the same command again. The child is untouched.`,
    ].join('\n'),
  });
}

function notItsParent({ child, parent }: MergeStep): TransferError {
  return new TransferError('E_DISK_PARENT', `${showPath(child)} does not build on ${showPath(parent)} as it is now`, {
    hint: 'See with "blockferry disk chain" what it builds on. Nothing was changed.',
  });
}

function assertSizes(step: MergeStep, child: DiskImage, parent: DiskImage): void {
  if (child.size === parent.size) return;
  if (child.size > parent.size && parent.format === 'raw') return;
  const [one, other] = [showPath(step.child), showPath(step.parent)];
  const sizes = `${one} is a disk of ${child.size} bytes, ${other} one of ${parent.size}`;
  const what = child.size > parent.size ? `a ${parent.format} parent cannot grow here` : 'the disk would become larger';
  throw new TransferError('E_USAGE', `${sizes}: ${what}`, {
    hint: 'Make one disk of the whole chain with "blockferry copy --flatten" instead. Nothing was changed.',
  });
}

/** Only a raw parent may be smaller: beyond its end it reads as zero, with more of a file or without. */
const grows = (child: End, parent: End): boolean => parent.image.size < child.image.size;

interface Pair {
  readonly child: End;
  readonly parent: End;
}

interface Ends extends Pair {
  /** Absent: the parent has to grow first. */
  readonly writer: ImageWriter | undefined;
}

/**
 * Whether the child holds nothing but what was merged. Another stamp alone may come of a copy of the folder; but who
 * built on the child may build on the parent by now, and must not see what was written to the child since.
 * @throws TransferError E_SOURCE_CHANGED
 */
async function isMergedStill(ends: Pair, { mergedAs, header }: MergeProgress, host: MergeHost): Promise<boolean> {
  if (mergedAs === undefined || mergedAs === ends.child.file.stamp) return mergedAs !== undefined;
  if (header.grandchildren.length === 0) return false;
  const stop = (): void => {
    if (host.stopped()) throw new TransferError('E_STOPPED', 'stopped; the disk reads as before');
  };
  if (await withChain(ends, host, (chain) => addsNothing(chain, stop))) return true;
  throw wasWrittenTo(ends.child.file);
}

async function withChain<T>(
  { child, parent }: Pair,
  host: MergeHost,
  work: (chain: DiskChain) => Promise<T>,
): Promise<T> {
  const { path: text, name } = parent.file;
  const location = { scheme: 'file', text, name };
  const below = parent.image.parent ? await openChain({ location }, host.opener) : undefined;
  try {
    const linkOf = ({ image, file }: End): ChainLink => ({ image, bytes: file });
    const chain = new DiskChain([linkOf(child), linkOf(parent), ...(below?.links.slice(1) ?? [])]);
    return await work(chain);
  } finally {
    await below?.close();
  }
}

async function writeOver(ends: Ends, chain: DiskChain, begun: BegunMerge, host: MergeHost): Promise<Carried> {
  const { child, parent } = ends;
  const { record, progress } = begun;
  const { stamp } = child.file;
  if (grows(child, parent)) parent.file.setSize(child.image.size);
  const writer = ends.writer ?? (await writerOf(parent));
  writer.begin((await heldMap(child.image, parent.image)).ranges());
  const carrying = { chain, child, parent: { writer, file: parent.file }, doneTo: progress.to };
  const carried = await carryOver(carrying, {
    stopped: () => host.stopped(),
    counted: (bytes) => host.counted(bytes),
    pace: (bytes) => host.pace(bytes),
    reached: (offset) => record.reached(offset),
  });
  assertUntouched(child.file, stamp);
  record.finishing(writer.identityAfter);
  writer.finish();
  record.merged(stamp);
  return carried;
}

/** What a guest writes while its disk is merged would go with the child. */
function assertUntouched(child: OpenDiskFile, stamp: string): void {
  if (child.stamp !== stamp) throw wasWrittenTo(child);
  if (!isOpenForWriting(child.fd)) return;
  throw new TransferError('E_LOCKED', `${child.name} was opened for writing while it was merged`, {
    hint: 'It was kept. Shut down the machine that uses it, then run the same command again: it compares, and goes on.',
  });
}

function wasWrittenTo({ name }: OpenDiskFile): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${name} was written to while it was merged, or since`, {
    hint: [
      'It was kept, with all that was written to it. Stop what writes to it, then run the same command again: it',
      'compares, and goes on. Where images that built on it build on its parent already, copy it with --flatten.',
    ].join('\n'),
  });
}

/** @throws TransferError where this version does not write into such an image, or into this one */
async function writerOf({ file, image }: End): Promise<ImageWriter> {
  const { openWriter } = await formatNamed(image.format);
  if (openWriter) return openWriter(file);
  throw new TransferError('E_USAGE', `${file.name}: this version does not write into ${image.format} images`, {
    hint: 'Make one disk of the whole chain with "blockferry copy --flatten" instead. Nothing was changed.',
  });
}

/** The child is gone, and only the record tells that it was merged: true when that is how it is. */
export function finishGone(files: FileLayer, child: string): boolean {
  if (files.lstat(encodePath(child)) !== undefined) return false;
  const begun = MergeRecord.open(files, child);
  if (!begun) return false;
  try {
    if (begun.progress.mergedAs !== undefined && !begun.progress.header.keep) {
      begun.record.remove();
      return true;
    }
  } finally {
    begun.record.close();
  }
  const parent = showPath(fromHere(child, begun.progress.header.parent));
  throw new TransferError(
    'E_SOURCE_MISSING',
    `${showPath(child)} is gone, and was merged into ${parent} only in part`,
    {
      hint: `Put it back and run the same command again: ${parent} holds neither the old disk nor the new one.`,
    },
  );
}

function tidyUp(child: string, { record, progress }: BegunMerge, files: FileLayer): void {
  if (!progress.header.keep) {
    try {
      files.unlinkSync(encodePath(child));
      files.syncFolder(encodePath(dirname(child)));
    } catch (thrown) {
      throw new TransferError('E_TARGET_WRITE', `${showPath(child)} is merged, and could not be removed`, {
        hint: 'Mend the cause, then run the same command again: it removes the image and its record.',
        cause: thrown,
      });
    }
  }
  record.remove();
}
