/** Opens a VHD for writing in place, with all that a writer must leave alone. */
import { randomBytes } from 'node:crypto';
import { diskError } from '../disk-bytes.js';
import type { DiskFile, ImageWriter } from '../image-writer.js';
import { type BlockTable, readBlockTable } from './block-table.js';
import { decodeVhdHeader, VHD_HEADER_BYTES, type VhdHeader } from './dynamic-header.js';
import { DynamicVhdWriter } from './dynamic-writer.js';
import { FixedVhdWriter } from './fixed-writer.js';
import { VHD_SECTOR_BYTES } from './footer.js';
import { dataEnd, type Footers, footerOf, readFooters, type WholeFooter } from './footers.js';
import { openVhd, readHeader } from './vhd-image.js';

/** @throws TransferError E_DISK_FORMAT */
export async function openVhdWriter(file: DiskFile): Promise<ImageWriter> {
  // All that a reader refuses is refused here.
  await openVhd(file);
  const footers = await readFooters(file);
  const nextId = randomBytes(16);
  const whole = footerOf(footers);
  if (whole.footer.diskType === 'fixed') return new FixedVhdWriter(file, whole, footers.end.at, nextId);
  return new DynamicVhdWriter(file, { ...(await readBlocks(file, footers)), nextId });
}

/** A dynamic or differencing disk that may be changed in place. */
export interface OpenedBlocks {
  readonly footer: WholeFooter;
  /** The header's bytes, and what they say. */
  readonly headerBytes: Buffer;
  readonly header: VhdHeader;
  readonly table: BlockTable;
  /** Structures and blocks end here, at the latest. */
  readonly usedEnd: number;
}

/** @throws TransferError E_DISK_FORMAT, also when something in use lies past the end of the file's data */
export async function readBlocks(file: DiskFile, footers: Footers): Promise<OpenedBlocks> {
  const footer = footerOf(footers);
  const headerBytes = await readHeader(file, footer.footer);
  const headerAt = Number(footer.footer.dataOffset);
  const header = decodeVhdHeader(headerBytes, file.name, headerAt);
  const table = await readBlockTable(file, header, footer.footer.currentBytes);
  const tableEnd = header.tableAt + header.tableEntries * 4;
  let end = Math.max(headerAt + VHD_HEADER_BYTES, tableEnd, await batmapEnd(file, tableEnd));
  // What a locator says that reaches out of the file is nowhere.
  for (const { at, length } of header.locators) if (at <= file.size - length) end = Math.max(end, at + length);
  for (let block = 0; block < table.entries.length; block++) {
    const at = table.bitmapAt(block);
    if (at !== undefined) end = Math.max(end, at + table.placeBytes);
  }
  const usedEnd = Math.ceil(end / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
  const fileEnd = dataEnd(file, footers);
  if (end <= fileEnd) return { footer, headerBytes, header, table, usedEnd };
  throw diskError(file.name, 'data of the VHD', 0, `an end before byte ${fileEnd}`, `something in use up to ${end}`);
}

/** XenServer keeps a map of its own behind the table, which says in its header where it is. It stays as it is. */
async function batmapEnd(file: DiskFile, tableEnd: number): Promise<number> {
  const offset = Math.ceil(tableEnd / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
  if (offset > file.size - VHD_SECTOR_BYTES) return 0;
  const header = await file.read({ offset, length: VHD_SECTOR_BYTES }, 'map behind the block allocation table');
  if (header.toString('latin1', 0, 8) !== 'tdbatmap') return 0;
  const end = Number(header.readBigUInt64BE(8)) + header.readUInt32BE(16) * VHD_SECTOR_BYTES;
  return end <= file.size ? Math.max(end, offset + VHD_SECTOR_BYTES) : 0;
}
