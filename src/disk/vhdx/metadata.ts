/**
 * The metadata region of a VHDX ([MS-VHDX] 2.6): a table of items, of which those that the format knows say what the
 * disk is. An item that is required and unknown makes the file unreadable, by the format's own rule.
 */
import { KiB, MiB, TiB } from '../../core/units.js';
import type { DiskBytes, ParentLink } from '../image.js';
import { demand, exactNumber, type Spot } from './demand.js';
import { guidBytes, readGuid } from './guid.js';
import { decodeParentLocator } from './parent-locator.js';
import type { Region } from './region.js';

export const METADATA_TABLE_BYTES = 64 * KiB;
export const METADATA_ITEM_BYTES_MAX = MiB;
export const METADATA_ENTRY_BYTES = 32;
export const BLOCK_BYTES_MIN = MiB;
export const BLOCK_BYTES_MAX = 256 * MiB;
export const VHDX_SIZE_BYTES_MAX = 64 * TiB;

const ENTRY_COUNT_MAX = 2047;
const USER_COUNT_MAX = 1024;

export const ITEMS = {
  fileParameters: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  size: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  id: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  sector: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physicalSector: 'cda348c7-445d-4471-9cc9-e9885251c556',
  parentLocator: 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c',
} as const;

const KNOWN: ReadonlySet<string> = new Set(Object.values(ITEMS));

export interface VhdxMetadata {
  readonly blockBytes: number;
  /** All blocks stay allocated: a fixed disk. */
  readonly leaveAllocated: boolean;
  /** Bytes that a guest sees. */
  readonly size: number;
  /** What SCSI calls page 83. */
  readonly id: string;
  readonly sectorBytes: number;
  readonly physicalSectorBytes: number;
  /** Absent: the disk stands alone. */
  readonly parent?: ParentLink;
}

export interface MetadataItem {
  readonly guid: string;
  readonly user: boolean;
  /** Where the entry of the table stands, in the file. */
  readonly entryAt: number;
  /** From the region's beginning. */
  readonly offset: number;
  readonly length: number;
}

export async function readMetadataTable(bytes: DiskBytes, region: Region): Promise<readonly MetadataItem[]> {
  const spot = { name: bytes.name, what: 'metadata table', at: region.at };
  const table = await bytes.read({ offset: region.at, length: METADATA_TABLE_BYTES }, spot.what);
  const signature = table.toString('latin1', 0, 8);
  demand(spot, signature === 'metadata', 'the signature "metadata"', JSON.stringify(signature));
  const count = table.readUInt16LE(10);
  demand(spot, count <= ENTRY_COUNT_MAX, `at most ${ENTRY_COUNT_MAX} items`, count);
  const items: MetadataItem[] = [];
  const seen = new Set<string>();
  for (let index = 1; index <= count; index++) {
    const item = decodeEntry(table, index * METADATA_ENTRY_BYTES, region, spot);
    const key = `${item.guid} ${item.user}`;
    demand(spot, !seen.has(key), 'each item once', `${item.guid} twice`);
    seen.add(key);
    items.push(item);
  }
  const users = items.filter((item) => item.user).length;
  demand(spot, users <= USER_COUNT_MAX, `at most ${USER_COUNT_MAX} items of users`, users);
  return items;
}

function decodeEntry(table: Buffer, entry: number, region: Region, tableSpot: Spot): MetadataItem {
  const guid = readGuid(table, entry);
  const spot = { ...tableSpot, what: `metadata item ${guid}`, at: region.at + entry };
  const offset = table.readUInt32LE(entry + 16);
  const length = table.readUInt32LE(entry + 20);
  const flags = table.readUInt32LE(entry + 24);
  const user = (flags & 1) !== 0;
  demand(spot, KNOWN.has(guid) || (flags & 4) === 0, 'required items that this version knows', 'another one');
  const inside =
    (offset === 0 && length === 0) ||
    (offset >= METADATA_TABLE_BYTES && length <= METADATA_ITEM_BYTES_MAX && offset <= region.length - length);
  demand(spot, inside, 'a place in the metadata region, after its table', `${length} bytes at ${offset}`);
  return { guid, user, entryAt: region.at + entry, offset, length };
}

export async function readMetadata(bytes: DiskBytes, region: Region): Promise<VhdxMetadata> {
  const items = await readMetadataTable(bytes, region);
  const read = async (guid: string, what: string, length?: number): Promise<{ item: Buffer; spot: Spot }> => {
    const found = items.find((item) => item.guid === guid && !item.user);
    const spot = { name: bytes.name, what, at: region.at + (found?.offset ?? 0) };
    demand(spot, found !== undefined, 'the item', 'none');
    const right = length === undefined || found.length === length;
    demand(spot, right, `${length} bytes`, `${found.length} bytes`);
    return { item: await bytes.read({ offset: spot.at, length: found.length }, what), spot };
  };
  const parameters = await read(ITEMS.fileParameters, 'file parameters', 8);
  const blockBytes = parameters.item.readUInt32LE(0);
  const flags = parameters.item.readUInt32LE(4);
  const power =
    blockBytes >= BLOCK_BYTES_MIN && blockBytes <= BLOCK_BYTES_MAX && Number.isInteger(Math.log2(blockBytes));
  demand(parameters.spot, power, 'a block of 1 to 256 MiB, a power of two', `${blockBytes} bytes`);
  demand(parameters.spot, flags <= 3, 'no flags but those of fixed and differencing disks', flags);
  const sectors = async (guid: string, what: string): Promise<number> => {
    const { item, spot } = await read(guid, what, 4);
    const value = item.readUInt32LE(0);
    demand(spot, value === 512 || value === 4096, '512 or 4096', value);
    return value;
  };
  const sectorBytes = await sectors(ITEMS.sector, 'logical sector size');
  const physicalSectorBytes = await sectors(ITEMS.physicalSector, 'physical sector size');
  const whole = await read(ITEMS.size, 'virtual disk size', 8);
  const size = exactNumber(whole.spot, whole.item.readBigUInt64LE(0));
  const fits = size % sectorBytes === 0 && size <= VHDX_SIZE_BYTES_MAX;
  demand(whole.spot, fits, `a multiple of ${sectorBytes} of at most 64 TiB`, size);
  const { item } = await read(ITEMS.id, 'virtual disk id', 16);
  const common = { blockBytes, size, id: readGuid(item), sectorBytes, physicalSectorBytes };
  if ((flags & 2) === 0) return { ...common, leaveAllocated: (flags & 1) !== 0 };
  const locator = await read(ITEMS.parentLocator, 'parent locator');
  return { ...common, leaveAllocated: false, parent: decodeParentLocator(locator.item, locator.spot) };
}

/** The beginning of a metadata region: the table, and the items right behind it. `locator`: of a differencing disk. */
export function encodeMetadata(metadata: Omit<VhdxMetadata, 'parent'>, locator?: Uint8Array): Buffer {
  const flags = (metadata.leaveAllocated ? 1 : 0) | (locator ? 2 : 0);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(metadata.size));
  const items: readonly (readonly [guid: string, flags: number, item: Uint8Array])[] = [
    [ITEMS.fileParameters, 4, Buffer.concat([uint32(metadata.blockBytes), uint32(flags)])],
    [ITEMS.size, 6, size],
    [ITEMS.id, 6, guidBytes(metadata.id)],
    [ITEMS.sector, 6, uint32(metadata.sectorBytes)],
    [ITEMS.physicalSector, 6, uint32(metadata.physicalSectorBytes)],
    ...(locator ? [[ITEMS.parentLocator, 4, locator] as const] : []),
  ];
  const bytes = Buffer.alloc(METADATA_TABLE_BYTES + items.reduce((sum, [, , item]) => sum + item.length, 0));
  bytes.write('metadata', 0, 'latin1');
  bytes.writeUInt16LE(items.length, 10);
  let at = METADATA_TABLE_BYTES;
  items.forEach(([guid, itemFlags, item], index) => {
    const entry = (index + 1) * METADATA_ENTRY_BYTES;
    bytes.set(guidBytes(guid), entry);
    bytes.writeUInt32LE(at, entry + 16);
    bytes.writeUInt32LE(item.length, entry + 20);
    bytes.writeUInt32LE(itemFlags, entry + 24);
    bytes.set(item, at);
    at += item.length;
  });
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
