/**
 * VHDX files with whatever a test wants in them, block by block: no other program here writes differencing ones. The
 * bytes of BAT entries and bitmaps are put together by hand; tables that carry checksums come from the product, which
 * proves them with qemu-img elsewhere.
 */
import { writeFileSync } from 'node:fs';
import { GiB, KiB, MiB } from '../../src/core/units.js';
import { encodeHeader, encodeIdentifier } from '../../src/disk/vhdx/header.js';
import { encodeMetadata } from '../../src/disk/vhdx/metadata.js';
import { encodeParentLocator } from '../../src/disk/vhdx/parent-locator.js';
import { BAT_REGION, encodeRegionTable, METADATA_REGION } from '../../src/disk/vhdx/region.js';

export const GUIDS = {
  file: '11111111-2222-3333-4444-555555555555',
  data: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
  none: '00000000-0000-0000-0000-000000000000',
  id: '01234567-89ab-cdef-0123-456789abcdef',
};

export interface TestBlock {
  readonly state: number;
  /** Of a block that has a place: its bytes; shorter ones are followed by zeroes. */
  readonly bytes?: Uint8Array;
  /** Of a block that is partially present: whether a sector is here. */
  readonly sectors?: (sector: number) => boolean;
}

export interface TestVhdx {
  readonly size: number;
  readonly blockBytes?: number;
  readonly sectorBytes?: number;
  readonly fixed?: boolean;
  readonly dataGuid?: string;
  readonly parent?: { readonly identity: string; readonly relative?: string; readonly absolute?: string };
  readonly blocks: ReadonlyMap<number, TestBlock>;
}

const METADATA_AT = 2 * MiB;
const BAT_AT = 3 * MiB;

/** Writes the file: log at 1 MiB, metadata at 2 MiB, BAT from 3 MiB on, then blocks and bitmaps as they come. */
export function writeTestVhdx(path: string, disk: TestVhdx): void {
  const { size, blockBytes = 2 * MiB, sectorBytes = 512, parent } = disk;
  const ratio = (8 * MiB * sectorBytes) / blockBytes;
  const chunks = Math.ceil(Math.ceil(size / blockBytes) / ratio);
  const bat = Buffer.alloc(Math.ceil((chunks * (ratio + 1) * 8) / MiB) * MiB);
  if (bat.length > GiB) throw new Error('a test disk is small');
  const pieces: Buffer[] = [];
  let end = BAT_AT + bat.length;
  const place = (bytes: Buffer): number => {
    pieces.push(bytes);
    end += bytes.length;
    return end - bytes.length;
  };
  const bitmaps = new Map<number, Buffer>();
  for (const [block, { state, bytes, sectors }] of disk.blocks) {
    const chunk = Math.floor(block / ratio);
    const content = Buffer.alloc(blockBytes);
    if (bytes) content.set(bytes);
    const at = bytes ? place(content) : 0;
    bat.writeBigUInt64LE(BigInt(at) + BigInt(state), (block + chunk) * 8);
    if (!sectors) continue;
    const bitmap = bitmaps.get(chunk) ?? Buffer.alloc(MiB);
    bitmaps.set(chunk, bitmap);
    const perBlock = blockBytes / sectorBytes;
    for (let sector = 0; sector < perBlock; sector++) {
      const bit = (block % ratio) * perBlock + sector;
      if (sectors(sector)) bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  for (const [chunk, bitmap] of bitmaps) {
    bat.writeBigUInt64LE(BigInt(place(bitmap)) + 6n, ((chunk + 1) * (ratio + 1) - 1) * 8);
  }
  const section = Buffer.alloc(BAT_AT);
  writeSection(section, disk, { blockBytes, sectorBytes, batBytes: bat.length, parent });
  writeFileSync(path, Buffer.concat([section, bat, ...pieces]));
}

interface Shape {
  readonly blockBytes: number;
  readonly sectorBytes: number;
  readonly batBytes: number;
  readonly parent: TestVhdx['parent'];
}

function writeSection(into: Buffer, disk: TestVhdx, { blockBytes, sectorBytes, batBytes, parent }: Shape): void {
  into.set(encodeIdentifier('a test'));
  const header = {
    fileWriteGuid: GUIDS.file,
    dataWriteGuid: disk.dataGuid ?? GUIDS.data,
    logGuid: GUIDS.none,
    logVersion: 0,
    version: 1,
    logBytes: MiB,
    logAt: MiB,
  };
  into.set(encodeHeader({ ...header, sequenceNumber: 7n }), 64 * KiB);
  into.set(encodeHeader({ ...header, sequenceNumber: 6n }), 128 * KiB);
  const regions = encodeRegionTable([
    { guid: BAT_REGION, at: BAT_AT, length: batBytes, required: true },
    { guid: METADATA_REGION, at: METADATA_AT, length: MiB, required: true },
  ]);
  into.set(regions, 192 * KiB);
  into.set(regions, 256 * KiB);
  const sizes = { blockBytes, sectorBytes, physicalSectorBytes: 4096, size: disk.size };
  const locator = parent && {
    format: 'vhdx' as const,
    identity: parent.identity,
    paths: [
      ...(parent.relative === undefined ? [] : [{ kind: 'relative' as const, path: parent.relative }]),
      ...(parent.absolute === undefined ? [] : [{ kind: 'absolute' as const, path: parent.absolute }]),
    ],
  };
  const item = locator && encodeParentLocator(locator, 'a test');
  into.set(encodeMetadata({ ...sizes, id: GUIDS.id, leaveAllocated: disk.fixed ?? false }, item), METADATA_AT);
}
