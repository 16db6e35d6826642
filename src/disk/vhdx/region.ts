/**
 * The region table of a VHDX ([MS-VHDX] 2.2.3), in two copies of which one that is valid is enough: where the BAT and
 * the metadata are. A region that is required and unknown makes the file unreadable, by the format's own rule.
 */
import { TransferError } from '../../core/errors.js';
import { KiB, MiB } from '../../core/units.js';
import { crc32cWithout } from '../crc32c.js';
import type { DiskBytes } from '../image.js';
import { demand, exactNumber, type Spot } from './demand.js';
import { guidBytes, readGuid } from './guid.js';

export const REGION_TABLE_BYTES = 64 * KiB;
export const REGION_TABLES_AT = [192 * KiB, 256 * KiB] as const;
export const BAT_REGION = '2dc27766-f623-4200-9d64-115e9bfd4a08';
export const METADATA_REGION = '8b7ca206-4790-4b9a-b8fe-575f050f886e';

const ENTRY_COUNT_MAX = 2047;
const HEADER_BYTES = 16;
const ENTRY_BYTES = 32;
const CHECKSUM_AT = 4;

export interface Region {
  readonly guid: string;
  readonly at: number;
  readonly length: number;
  readonly required: boolean;
}

export interface Regions {
  readonly all: readonly Region[];
  readonly bat: Region;
  readonly metadata: Region;
}

export function encodeRegionTable(regions: readonly Region[]): Buffer {
  const bytes = Buffer.alloc(REGION_TABLE_BYTES);
  bytes.write('regi', 0, 'latin1');
  bytes.writeUInt32LE(regions.length, 8);
  regions.forEach(({ guid, at, length, required }, index) => {
    const entry = HEADER_BYTES + index * ENTRY_BYTES;
    bytes.set(guidBytes(guid), entry);
    bytes.writeBigUInt64LE(BigInt(at), entry + 16);
    bytes.writeUInt32LE(length, entry + 24);
    bytes.writeUInt32LE(required ? 1 : 0, entry + 28);
  });
  bytes.writeUInt32LE(crc32cWithout(bytes, CHECKSUM_AT), CHECKSUM_AT);
  return bytes;
}

/** The first copy, or the second where the first is damaged. */
export async function readRegions(bytes: DiskBytes): Promise<Regions> {
  try {
    return await readCopy(bytes, 0);
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_FORMAT') throw thrown;
    try {
      return await readCopy(bytes, 1);
    } catch {
      throw thrown; // The first one's fault is the one to know; check tells both.
    }
  }
}

async function readCopy(bytes: DiskBytes, copy: 0 | 1): Promise<Regions> {
  return locateRegions(bytes, await readRegionTable(bytes, copy), copy);
}

/** What the table says, wherever that is. */
export async function readRegionTable(bytes: DiskBytes, copy: 0 | 1): Promise<readonly Region[]> {
  const spot = spotOf(bytes, copy);
  return decodeEntries(await bytes.read({ offset: spot.at, length: REGION_TABLE_BYTES }, spot.what), spot);
}

export function locateRegions(bytes: DiskBytes, all: readonly Region[], copy: 0 | 1): Regions {
  const spot = spotOf(bytes, copy);
  for (const region of all) assertPlace(region, bytes.size, spot);
  return { all, bat: named(all, BAT_REGION, 'BAT', spot), metadata: named(all, METADATA_REGION, 'metadata', spot) };
}

const spotOf = ({ name }: DiskBytes, copy: 0 | 1): Spot => ({
  name,
  what: `region table ${copy + 1}`,
  at: REGION_TABLES_AT[copy],
});

export const isKnownRegion = ({ guid }: Region): boolean => guid === BAT_REGION || guid === METADATA_REGION;

function decodeEntries(table: Buffer, spot: Spot): readonly Region[] {
  const signature = table.toString('latin1', 0, 4);
  demand(spot, signature === 'regi', 'the signature "regi"', JSON.stringify(signature));
  const checksum = table.readUInt32LE(CHECKSUM_AT);
  const computed = crc32cWithout(table, CHECKSUM_AT);
  demand(spot, checksum === computed, `the checksum ${computed}, by its other bytes`, checksum);
  const count = table.readUInt32LE(8);
  demand(spot, count <= ENTRY_COUNT_MAX, `at most ${ENTRY_COUNT_MAX} regions`, count);
  const regions: Region[] = [];
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const entry = HEADER_BYTES + index * ENTRY_BYTES;
    const region = {
      guid: readGuid(table, entry),
      at: exactNumber({ ...spot, at: spot.at + entry }, table.readBigUInt64LE(entry + 16)),
      length: table.readUInt32LE(entry + 24),
      required: table.readUInt32LE(entry + 28) !== 0,
    };
    demand(spot, !seen.has(region.guid), 'each region once', `${region.guid} twice`);
    seen.add(region.guid);
    regions.push(region);
  }
  return regions;
}

function assertPlace(region: Region, size: number, table: Spot): void {
  const { guid, at, length, required } = region;
  const known = isKnownRegion(region);
  demand(table, known || !required, 'required regions that this version knows', guid);
  const spot = { ...table, what: `region ${guid}`, at };
  const aligned = at % MiB === 0 && length % MiB === 0 && at >= MiB;
  demand(spot, aligned, 'a place and a length in whole MiB after the first', `${length} bytes`);
  // An unknown region that lies outside takes nothing from the content.
  const inside = !known || (length > 0 && at <= size - length);
  demand(spot, inside, `${length} bytes inside the file`, `a file of ${size} bytes`);
}

function named(regions: readonly Region[], guid: string, what: string, spot: Spot): Region {
  const region = regions.find((one) => one.guid === guid);
  demand(spot, region !== undefined, `the ${what} region`, 'none');
  return region;
}
