/**
 * How a new dynamic VHDX is laid out ([MS-VHDX] 2.1): the header section, a log of 1 MiB that stays empty, the
 * metadata, the BAT, and then the blocks that the plan has, in the order of the disk. The file is known as a VHDX by
 * its first bytes alone, and these come last.
 */
import { createHash } from 'node:crypto';
import type { ByteRange } from '../../core/chunk.js';
import { TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import type { Place } from '../image-writer.js';
import type { Layout, LayoutFormat, LayoutPlan, Piece } from '../layout.js';
import { BAT_ENTRY_BYTES, type BatGeometry, batGeometry, encodeEntry, entryOfBlock, STATES } from './bat.js';
import { GUID_NONE, readGuid } from './guid.js';
import {
  encodeHeader,
  encodeIdentifier,
  HEADER_SECTION_BYTES,
  HEADERS_AT,
  VHDX_VERSION,
  type VhdxHeader,
} from './header.js';
import { BLOCK_BYTES_MAX, encodeMetadata, VHDX_SIZE_BYTES_MAX, type VhdxMetadata } from './metadata.js';
import { RankedBits } from './ranked-bits.js';
import { BAT_REGION, encodeRegionTable, METADATA_REGION, REGION_TABLES_AT } from './region.js';

const LOG_AT = HEADER_SECTION_BYTES;
const LOG_BYTES = MiB;
const METADATA_AT = LOG_AT + LOG_BYTES;
const METADATA_BYTES = MiB;
const BAT_AT = METADATA_AT + METADATA_BYTES;
const BAT_PIECE_BYTES = MiB;

/** The size of sector that every guest can start from: where nothing else was said. */
const SECTOR_BYTES_USUAL = 512;
/** What the disks have on which images lie. */
const PHYSICAL_SECTOR_BYTES = 4096;
const BLOCK_BYTES_USUAL = 2 * MiB;
/** A BAT of some 8 MiB: up to 2 TiB have the usual block, 64 TiB blocks of 64 MiB. */
const BLOCK_COUNT_MAX = 1024 * 1024;
const CREATOR = 'Blockferry';

export const vhdxDynamic: LayoutFormat = {
  blockBytesFor: (size) => {
    assertSize(size);
    let blockBytes = BLOCK_BYTES_USUAL;
    while (blockBytes < BLOCK_BYTES_MAX && size / blockBytes > BLOCK_COUNT_MAX) blockBytes *= 2;
    return blockBytes;
  },
  layOut: (plan) => new DynamicLayout(plan),
};

class DynamicLayout implements Layout {
  readonly size: number;
  readonly fileBytes: number;
  readonly #plan: LayoutPlan;
  readonly #metadata: VhdxMetadata;
  readonly #geometry: BatGeometry;
  readonly #allocated: RankedBits;
  readonly #batBytes: number;

  constructor(plan: LayoutPlan) {
    assertSize(plan.size);
    this.#plan = plan;
    const sectorBytes = plan.sectorBytes ?? SECTOR_BYTES_USUAL;
    this.size = Math.ceil(plan.size / sectorBytes) * sectorBytes;
    this.#metadata = {
      blockBytes: plan.blockBytes,
      leaveAllocated: false,
      size: this.size,
      id: readGuid(plan.uniqueId),
      sectorBytes,
      physicalSectorBytes: PHYSICAL_SECTOR_BYTES,
    };
    this.#geometry = batGeometry(this.#metadata);
    this.#allocated = new RankedBits(plan.allocated, this.#geometry.blocks);
    this.#batBytes = Math.max(1, Math.ceil((this.#geometry.entries * BAT_ENTRY_BYTES) / MiB)) * MiB;
    this.fileBytes = this.#blockAt(this.#allocated.count);
  }

  *places({ offset, length }: ByteRange): Iterable<Place> {
    const { blockBytes } = this.#plan;
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockBytes);
      const part = Math.min(end, (block + 1) * blockBytes) - at;
      if (!this.#allocated.has(block)) yield { length: part };
      else yield { length: part, at: this.#blockAt(this.#allocated.rank(block)) + at - block * blockBytes };
      at += part;
    }
  }

  *finish(): Iterable<Iterable<Piece>> {
    yield this.#tables();
    yield this.#headers();
    yield [{ at: 0, bytes: encodeIdentifier(CREATOR) }];
  }

  #blockAt(rank: number): number {
    return BAT_AT + this.#batBytes + rank * this.#plan.blockBytes;
  }

  *#tables(): Iterable<Piece> {
    const metadata = Buffer.alloc(METADATA_BYTES);
    metadata.set(encodeMetadata(this.#metadata));
    yield { at: METADATA_AT, bytes: metadata };
    const regions = encodeRegionTable([
      { guid: BAT_REGION, at: BAT_AT, length: this.#batBytes, required: true },
      { guid: METADATA_REGION, at: METADATA_AT, length: METADATA_BYTES, required: true },
    ]);
    for (const at of REGION_TABLES_AT) yield { at, bytes: regions };
    let block = 0;
    for (let done = 0; done < this.#batBytes; done += BAT_PIECE_BYTES) {
      const bytes = Buffer.alloc(BAT_PIECE_BYTES);
      for (; block < this.#geometry.blocks; block++) {
        const at = entryOfBlock(this.#geometry, block) * BAT_ENTRY_BYTES - done;
        if (at >= bytes.length) break;
        if (!this.#allocated.has(block)) continue;
        bytes.set(encodeEntry(STATES.fullyPresent, this.#blockAt(this.#allocated.rank(block))), at);
      }
      yield { at: BAT_AT + done, bytes };
    }
  }

  *#headers(): Iterable<Piece> {
    const header: Omit<VhdxHeader, 'sequenceNumber'> = {
      fileWriteGuid: this.#guid('file'),
      dataWriteGuid: this.#guid('data'),
      logGuid: GUID_NONE,
      logVersion: 0,
      version: VHDX_VERSION,
      logBytes: LOG_BYTES,
      logAt: LOG_AT,
    };
    yield { at: HEADERS_AT[0], bytes: encodeHeader({ ...header, sequenceNumber: 1n }) };
    yield { at: HEADERS_AT[1], bytes: encodeHeader({ ...header, sequenceNumber: 2n }) };
  }

  /** Made of the plan's id, so that the same plan gives the same file. */
  #guid(purpose: string): string {
    return readGuid(createHash('sha256').update(purpose).update(this.#plan.uniqueId).digest());
  }
}

function assertSize(size: number): void {
  if (size >= 0 && size <= VHDX_SIZE_BYTES_MAX) return;
  throw new TransferError('E_TOO_LARGE', `a VHDX holds a disk of at most 64 TiB, and this one has ${size} bytes`, {
    hint: 'Make a raw disk of it: --to raw. Nothing was changed.',
  });
}
