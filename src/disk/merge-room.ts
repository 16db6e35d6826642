/** How much room a merge takes in the parent: asked before anything is changed, and told to the parent's format. */
import { dirname } from 'node:path';
import type { ByteRange } from '../core/chunk.js';
import { TransferError } from '../core/errors.js';
import { formatBytes } from '../core/units.js';
import { freeBytes } from '../platform/file-system.js';
import { encodePath } from '../platform/path-bytes.js';
import type { OpenDiskFile } from './disk-file.js';
import { HeldMap, heldIn } from './held-map.js';
import type { DiskImage } from './image.js';

/** What the child holds and the parent will have to find a place for. */
export async function heldMap(child: DiskImage, parent: DiskImage): Promise<HeldMap> {
  const map = new HeldMap(child.size, parent.blockBytes);
  for await (const held of heldIn(child, child.size)) {
    // Zeroes take a place where a parent further down could show through,
    if (held.kind === 'data' || parent.parent) map.add(held);
    // and where what stands there cannot be written over, such as compressed clusters.
    else for await (const range of dataIn(parent, held)) map.add(range);
  }
  return map;
}

async function* dataIn(image: DiskImage, { offset, length }: ByteRange): AsyncGenerator<ByteRange> {
  const inside = Math.max(0, Math.min(length, image.size - offset));
  let at = offset;
  for await (const one of image.allocation({ offset, length: inside })) {
    if (one.kind === 'data') yield { offset: at, length: one.length };
    at += one.length;
  }
}

/** Bytes that the parent's file may grow by: an upper bound. */
export async function roomNeeded(child: DiskImage, parent: DiskImage): Promise<number> {
  let bytes = 0;
  for (const { offset, length } of (await heldMap(child, parent)).ranges()) {
    const inside = Math.max(0, Math.min(length, parent.size - offset));
    bytes += length - inside;
    for await (const one of parent.allocation({ offset, length: inside })) if (one.kind !== 'data') bytes += one.length;
  }
  return bytes;
}

/** @throws TransferError E_NO_SPACE */
export async function assertRoom(
  child: DiskImage,
  { file, image }: { readonly file: OpenDiskFile; readonly image: DiskImage },
): Promise<void> {
  const free = freeBytes(encodePath(dirname(file.path)));
  if (free === undefined) return;
  const needed = await roomNeeded(child, image);
  if (needed <= free) return;
  const growth = `${file.name} will grow by up to ${formatBytes(needed)}`;
  const message = `${growth}, and only ${formatBytes(free)} are free there`;
  throw new TransferError('E_NO_SPACE', message, { hint: 'Free some space, then run it again. Nothing was changed.' });
}
