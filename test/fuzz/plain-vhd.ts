/**
 * A VHD read in the plainest way, by the specification alone: a third opinion where QEMU, which never looks at a
 * sector bitmap, and 7-Zip, which refuses the ones that are not full, do not read what the specification says.
 */
import { SparseContent, type Stretch } from '../support/sparse-content.js';
import { type Overlay, SECTOR } from './overlay.js';

const UNUSED = 0xffff_ffff;

/** The content of a dynamic disk. @throws Error where it is none */
export function plainVhdContent(file: Overlay): SparseContent {
  const footers = [file.size - SECTOR, 0].map((offset) => file.read({ offset, length: SECTOR }));
  const footer = footers.find((bytes) => bytes.toString('latin1', 0, 8) === 'conectix' && isSealed(bytes, 64));
  if (footer?.readUInt32BE(60) !== 3) throw new Error('no dynamic VHD');
  const size = Number(footer.readBigUInt64BE(48));
  const header = file.read({ offset: Number(footer.readBigUInt64BE(16)), length: 1024 });
  if (!isSealed(header, 36)) throw new Error('no header');
  const tableAt = Number(header.readBigUInt64BE(16));
  const blockBytes = header.readUInt32BE(32);
  const bitmapBytes = Math.ceil(blockBytes / SECTOR / 8 / SECTOR) * SECTOR;
  const table = file.read({ offset: tableAt, length: Math.ceil(size / blockBytes) * 4 });
  const stretches: Stretch[] = [];
  for (let block = 0; block * blockBytes < size; block++) {
    const entry = table.readUInt32BE(block * 4);
    if (entry === UNUSED) continue;
    const bitmap = file.read({ offset: entry * SECTOR, length: bitmapBytes });
    const offset = block * blockBytes;
    const bytes = file.read({ offset: entry * SECTOR + bitmapBytes, length: Math.min(blockBytes, size - offset) });
    for (let sector = 0; sector * SECTOR < bytes.length; sector++) {
      const isThere = (bitmap[sector >> 3] ?? 0) & (0x80 >> (sector & 7));
      if (!isThere) bytes.fill(0, sector * SECTOR, (sector + 1) * SECTOR);
    }
    stretches.push({ offset, bytes });
  }
  return SparseContent.of(size, stretches);
}

function isSealed(structure: Buffer, checksumAt: number): boolean {
  const own = structure.subarray(checksumAt, checksumAt + 4);
  const sum = structure.reduce((total, byte) => total + byte, 0) - own.reduce((total, byte) => total + byte, 0);
  return own.readUInt32BE() === ~sum >>> 0;
}
