/**
 * Naming another parent, in place ([MS-VHDX] 2.6.1.2, 2.6.2.6). The new locator is written to free space of the
 * metadata region and made durable; then the eight bytes of its entry that say where and how long it is are changed.
 * These lie in one sector: a crash leaves the old link or the new one. What the old one took is free for the next.
 */
import { diskError } from '../disk-bytes.js';
import type { ParentLink } from '../image.js';
import type { DiskFile } from '../image-writer.js';
import { demand } from './demand.js';
import { assertWritable, updateHeaders } from './header.js';
import { ITEMS, METADATA_TABLE_BYTES, type MetadataItem, readMetadataTable } from './metadata.js';
import { openStructures } from './open.js';
import { encodeParentLocator } from './parent-locator.js';
import type { Region } from './region.js';

/** Where in an entry of the metadata table its item's offset and length stand. */
const PLACE_AT = 16;

export async function repointVhdx(file: DiskFile, parent: ParentLink): Promise<void> {
  const { current, regions, metadata } = await openStructures(file);
  assertWritable(file, current.header);
  const { metadata: region } = regions;
  const spot = { name: file.name, what: 'parent locator', at: region.at };
  demand(spot, metadata.parent !== undefined, 'a differencing disk', 'one without a parent');
  const items = await readMetadataTable(file, region);
  const item = items.find(({ guid, user }) => guid === ITEMS.parentLocator && !user);
  demand(spot, item !== undefined, 'the item', 'none');
  const locator = encodeParentLocator(parent, file.name);
  const offset = freeSpace(items, locator.length, region, file.name);
  updateHeaders(file, current);
  file.write(region.at + offset, locator);
  file.flush();
  const place = Buffer.alloc(8);
  place.writeUInt32LE(offset, 0);
  place.writeUInt32LE(locator.length, 4);
  file.write(item.entryAt + PLACE_AT, place);
  file.flush();
}

/** From the region's beginning. */
function freeSpace(items: readonly MetadataItem[], length: number, region: Region, name: string): number {
  const placed = items.filter((item) => item.length > 0).sort((a, b) => a.offset - b.offset);
  let from = METADATA_TABLE_BYTES;
  for (const item of placed) {
    if (item.offset - from >= length) return from;
    from = Math.max(from, item.offset + item.length);
  }
  if (region.length - from >= length) return from;
  throw diskError(name, 'metadata region', region.at, `${length} bytes of free space`, 'less');
}
