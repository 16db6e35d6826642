/**
 * Which sectors of an image are the guest's and which are the format's, told from the bytes alone and not by any
 * reader: the guest's sectors hold bytes that nothing else holds.
 */
import { MiB } from '../../src/core/units.js';
import { isZero, type SparseContent } from '../support/sparse-content.js';
import { type BaseFile, SECTOR } from './overlay.js';

export interface Anatomy {
  /** Sectors of the format: runs of neighbours, so that a long table weighs no more than a header. */
  readonly structures: readonly Run[];
  /** Where the guest's bytes stand: offset in the file ▸ offset of the guest. */
  readonly payload: ReadonlyMap<number, number>;
}

interface Run {
  readonly at: number;
  readonly sectors: number;
}

export function anatomyOf(file: BaseFile, content: SparseContent): Anatomy {
  const guest = guestSectors(content);
  const payload = new Map<number, number>();
  const structures: { at: number; sectors: number }[] = [];
  for (let offset = 0; offset < file.size; offset += MiB) {
    const piece = file.read({ offset, length: Math.min(MiB, file.size - offset) });
    if (isZero(piece)) continue;
    for (let at = 0; at < piece.length; at += SECTOR) {
      const sector = piece.subarray(at, at + SECTOR);
      if (isZero(sector)) continue;
      const guestOffset = guest.get(sector.toString('latin1'));
      if (guestOffset !== undefined) payload.set(offset + at, guestOffset);
      else add(structures, offset + at);
    }
  }
  return { structures, payload };
}

function guestSectors(content: SparseContent): ReadonlyMap<string, number> {
  const sectors = new Map<string, number>();
  for (const { offset, bytes } of content.stretches) {
    for (let at = 0; at < bytes.length; at += SECTOR) {
      sectors.set(bytes.toString('latin1', at, at + SECTOR), offset + at);
    }
  }
  return sectors;
}

function add(structures: { at: number; sectors: number }[], at: number): void {
  const last = structures.at(-1);
  if (last && last.at + last.sectors * SECTOR === at) last.sectors++;
  else structures.push({ at, sectors: 1 });
}
