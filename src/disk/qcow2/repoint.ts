/**
 * Makes a qcow2 image name another parent, in place. Name and format stand in the first cluster (docs/interop/qcow2,
 * "Header extensions"). The new name is written where nothing stands yet and made durable; then the first sector, which
 * holds the header and the format, is written in one piece. What is assumed: that a storage writes a sector of 512
 * bytes wholly or not at all.
 */
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { diskError } from '../disk-bytes.js';
import type { DiskFormat, NewParent } from '../image.js';
import type { DiskFile } from '../image-writer.js';
import { EXTENSION } from './extensions.js';
import { parseHeader, type Qcow2Header, readFirstCluster } from './header.js';
import { FORMAT_NAMES, PARENT_NAME_BYTES_MAX, PROTOCOL } from './parent.js';

const SECTOR_BYTES = 512;

/** @throws TransferError E_DISK_FORMAT when the name does not fit, or the image must not be written to */
export async function repointQcow2(file: DiskFile, { paths, format }: NewParent): Promise<void> {
  const cluster = await readFirstCluster(file);
  const header = parseHeader(cluster, file.name);
  if (header.corrupt) {
    throw diskError(file.name, 'incompatible features', 72, 'an image to write to', 'one that is marked corrupt');
  }
  const name = nameBytes(paths[0]?.path ?? '', file.name);
  const area = extensionArea(cluster, header, format, name.length, file.name);
  const end = header.headerBytes + area.length;
  const at = placeOfName(header, end, name.length, file.name);
  const first = Buffer.alloc(SECTOR_BYTES);
  cluster.copy(first, 0, 0, SECTOR_BYTES);
  area.copy(first, header.headerBytes, 0, SECTOR_BYTES - header.headerBytes);
  first.writeBigUInt64BE(BigInt(at), 8);
  first.writeUInt32BE(name.length, 16);
  if (header.version === 3) keepKnownBits(first);
  const inFirst = Math.max(0, SECTOR_BYTES - at);
  first.set(name.subarray(0, inFirst), Math.min(at, SECTOR_BYTES));
  if (name.length > inFirst) {
    file.write(at, name);
    file.flush();
  }
  file.write(0, first);
  file.flush();
}

/** QEMU takes what stands before a colon for a protocol, so such a name gets a `./`. */
function nameBytes(path: string, image: string): Buffer {
  const safe = PROTOCOL.test(path) ? `./${path}` : path;
  const encoded = encodePath(safe);
  const bytes = typeof encoded === 'string' ? Buffer.from(encoded) : encoded;
  if (bytes.length > 0 && bytes.length <= PARENT_NAME_BYTES_MAX && !bytes.includes(0)) return bytes;
  const expected = `a name of 1 to ${PARENT_NAME_BYTES_MAX} bytes`;
  throw diskError(image, 'new backing file name', 0, expected, `${bytes.length}: ${showPath(path.slice(0, 100))}`);
}

/**
 * The header extensions with the new format, and the end mark. Only the first sector may change, so that it changes at
 * once; where the format makes it too long, the names of features, which are there for messages only, are left out.
 */
function extensionArea(
  cluster: Buffer,
  header: Qcow2Header,
  format: DiskFormat,
  nameLength: number,
  image: string,
): Buffer {
  const kept = header.extensions.filter(({ type }) => type !== EXTENSION.parentFormat);
  const old = cluster.subarray(header.headerBytes, header.extensionsEnd);
  const own = extension(EXTENSION.parentFormat, Buffer.from(FORMAT_NAMES[format]));
  const areaOf = (extensions: Qcow2Header['extensions']): Buffer =>
    Buffer.concat([
      own,
      ...extensions.map(({ type, at, length }) => extension(type, cluster.subarray(at, at + length))),
      Buffer.alloc(8),
    ]);
  const inSector = SECTOR_BYTES - header.headerBytes;
  for (const area of [areaOf(kept), areaOf(kept.filter(({ type }) => type !== EXTENSION.featureNames))]) {
    const beyond = area.subarray(inSector);
    const unchanged = beyond.length === 0 || beyond.equals(old.subarray(inSector));
    const fits = header.headerBytes + area.length + nameLength <= header.clusterBytes;
    if (unchanged && fits) return area;
  }
  const expected = `room in the first cluster of ${header.clusterBytes} bytes, the format in its first sector`;
  throw diskError(image, 'backing file name and format', header.headerBytes, expected, `${nameLength} bytes of name`);
}

function extension(type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
  bytes.writeUInt32BE(type, 0);
  bytes.writeUInt32BE(data.length, 4);
  bytes.set(data, 8);
  return bytes;
}

/** After the extensions. What does not go with the first sector goes where neither old extensions nor name stand. */
function placeOfName(header: Qcow2Header, end: number, length: number, image: string): number {
  const { parentAt, parentBytes, clusterBytes, extensionsEnd } = header;
  if (end + length <= SECTOR_BYTES) return end;
  const from = Math.max(end, extensionsEnd);
  const isFree = parentBytes === 0 || from + length <= parentAt || parentAt + parentBytes <= from;
  const at = isFree ? from : Math.max(from, parentAt + parentBytes);
  if (at + length <= clusterBytes) return at;
  const expected = `room for ${length} bytes beside the old one in the first cluster of ${clusterBytes} bytes`;
  throw diskError(image, 'backing file name', parentAt, expected, `${Math.max(0, clusterBytes - at)} bytes`);
}

/** "autoclear_features": who writes clears the bits that it does not know. The bitmaps' bit is about content. */
function keepKnownBits(first: Buffer): void {
  first.writeBigUInt64BE(first.readBigUInt64BE(88) & 1n, 88);
}
