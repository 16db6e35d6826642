/**
 * Makes the plan of a new disk from what its source has allocated, and gives it the form in which the journal keeps it:
 * a resume has to put every chunk where the first run did.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../core/clock.js';
import type { Extent, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TargetLayout } from '../core/target.js';
import { linksOf } from './disk-source.js';
import type { LayoutKind, LayoutPlan } from './layout.js';
import { LAYOUTS } from './layouts.js';

/** Bounds what the journal keeps, and what a hostile one makes us hold. */
const BLOCKS_MAX = 4 * 1024 * 1024;
const ID_BYTES = 16;

export async function planLayout(kind: LayoutKind, source: Source, signal: AbortSignal): Promise<LayoutPlan> {
  const { size } = source;
  const blockBytes = (await LAYOUTS[kind].load()).blockBytesFor(size);
  const count = blockCount(size, blockBytes);
  if (count > BLOCKS_MAX) throw new TransferError('E_BUG', `${count} blocks were planned; ${BLOCKS_MAX} are the most`);
  const whole = { offset: 0, length: size };
  const extents = source.extents?.(whole, signal) ?? [{ kind: 'data', ...whole } as const];
  const allocated = await allocatedBlocks(extents, count, blockBytes);
  // A guest finds its partitions by the number of a sector.
  const sectorBytes = kind === 'vhdx' ? linksOf(source)?.[0]?.image.sectorBytes : undefined;
  return {
    ...{ kind, size, blockBytes, allocated, uniqueId: randomBytes(ID_BYTES), createdAtMs: systemClock.wallMs() },
    ...(sectorBytes !== undefined && { sectorBytes }),
  };
}

function blockCount(size: number, blockBytes: number): number {
  return blockBytes === 0 ? 0 : Math.ceil(size / blockBytes);
}

/** In shared memory: the plan goes along with every chunk. */
function newBitmap(count: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(Math.ceil(count / 8)));
}

async function allocatedBlocks(
  extents: Iterable<Extent> | AsyncIterable<Extent>,
  count: number,
  blockBytes: number,
): Promise<Uint8Array> {
  const bitmap = newBitmap(count);
  if (count === 0) return bitmap;
  for await (const { kind, offset, length } of extents) {
    if (kind === 'zero' || length === 0) continue;
    const last = Math.floor((offset + length - 1) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      bitmap[block >> 3] = (bitmap[block >> 3] as number) | (0x80 >> (block & 7));
    }
  }
  return bitmap;
}

export function encodePlan(plan: LayoutPlan): TargetLayout {
  const { kind, size, blockBytes, sectorBytes, createdAtMs, uniqueId, allocated } = plan;
  return {
    ...{ kind, size, blockBytes, createdAtMs, uniqueId: Buffer.from(uniqueId).toString('hex') },
    ...(sectorBytes !== undefined && { sectorBytes }),
    allocated: Buffer.from(allocated).toString('base64'),
  };
}

/** Anybody may have written the journal. @throws TransferError E_JOURNAL_DAMAGED */
export function decodePlan(encoded: TargetLayout): LayoutPlan {
  const { kind, size, blockBytes, sectorBytes = 512, createdAtMs, uniqueId, allocated } = encoded;
  const numbers = [size, blockBytes, createdAtMs].every((value) => Number.isSafeInteger(value) && Number(value) >= 0);
  const known = typeof kind === 'string' && Object.hasOwn(LAYOUTS, kind);
  const sectors = sectorBytes === 512 || sectorBytes === 4096;
  if (!known || !numbers || !sectors || typeof uniqueId !== 'string' || typeof allocated !== 'string') throw damaged();
  const [sizeBytes, ofBlock] = [Number(size), Number(blockBytes)];
  const count = blockCount(sizeBytes, ofBlock);
  const [id, bits] = [Buffer.from(uniqueId, 'hex'), Buffer.from(allocated, 'base64')];
  if (count > BLOCKS_MAX || id.length !== ID_BYTES || bits.length !== Math.ceil(count / 8)) throw damaged();
  const bitmap = newBitmap(count);
  bitmap.set(bits);
  return {
    kind: kind as LayoutKind,
    size: sizeBytes,
    blockBytes: ofBlock,
    sectorBytes,
    createdAtMs: Number(createdAtMs),
    uniqueId: new Uint8Array(id),
    allocated: bitmap,
  };
}

function damaged(): TransferError {
  return new TransferError('E_JOURNAL_DAMAGED', 'the journal has no readable plan of the new disk', {
    hint: 'The partial copy was kept. --discard throws it away and starts afresh.',
  });
}
