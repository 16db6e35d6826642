/**
 * The parent that a qcow2 image names (docs/interop/qcow2, "Header", "String header extensions"): a backing file name
 * in the first cluster and a backing format in a header extension. QEMU takes such a name for more than a path:
 * `json:{…}` and `nbd://…` make it open something else. Those are refused, since what they name is no file.
 */
import { decodePath, showPath } from '../../platform/path-bytes.js';
import { diskError, unsupportedImage } from '../disk-bytes.js';
import type { DiskFormat, ParentLink } from '../image.js';
import { EXTENSION, type Extension } from './extensions.js';

export const PARENT_NAME_BYTES_MAX = 1023;

/** QEMU's names of the formats. */
export const FORMAT_NAMES: Readonly<Record<DiskFormat, string>> = {
  raw: 'raw',
  vhd: 'vpc',
  vhdx: 'vhdx',
  qcow2: 'qcow2',
};

/** Which QEMU reads, too. */
const OTHER_FORMATS: ReadonlySet<string> = new Set([
  'vmdk',
  'vdi',
  'qed',
  'qcow',
  'luks',
  'parallels',
  'nbd',
  'host_device',
]);

/** A protocol's name ends with a colon that stands before the first slash. */
export const PROTOCOL = /^[^/]*?:/s;

interface ParentParts {
  readonly parentAt: number;
  readonly parentBytes: number;
  readonly parent?: ParentLink;
}

/** @throws TransferError E_DISK_FORMAT when the name lies outside the first cluster, or is no path */
export function parentOf(firstCluster: Buffer, extensions: readonly Extension[], name: string): ParentParts {
  const offset = firstCluster.readBigUInt64BE(8);
  const length = firstCluster.readUInt32BE(16);
  if (offset === 0n || length === 0) return { parentAt: 0, parentBytes: 0 };
  const fits = offset <= firstCluster.length && length <= firstCluster.length - Number(offset);
  if (!fits || length > PARENT_NAME_BYTES_MAX) {
    const expected = `a name of at most ${PARENT_NAME_BYTES_MAX} bytes in the first cluster`;
    throw diskError(name, 'backing file name', offset, expected, `${length} bytes`);
  }
  const at = Number(offset);
  const path = pathOf(decodePath(firstCluster.subarray(at, at + length)), at, name);
  const format = formatOf(firstCluster, extensions, name);
  const kind = path.startsWith('/') ? 'absolute' : 'relative';
  return { parentAt: at, parentBytes: length, parent: { ...(format && { format }), paths: [{ kind, path }] } };
}

function pathOf(text: string, at: number, name: string): string {
  const shown = JSON.stringify(showPath(text.slice(0, 200)));
  const path = text.replace(/^file:/, '');
  if (path === '' || path.includes('\0')) throw diskError(name, 'backing file name', at, 'a path', shown);
  if (path === text && PROTOCOL.test(text)) {
    throw unsupportedImage(name, 'backing file name', at, 'the path of a file, no protocol or options', shown);
  }
  return path;
}

function formatOf(firstCluster: Buffer, extensions: readonly Extension[], name: string): DiskFormat | undefined {
  const extension = extensions.find(({ type }) => type === EXTENSION.parentFormat);
  if (!extension || extension.length === 0) return undefined;
  const { at, length } = extension;
  const text = firstCluster.toString('latin1', at, at + Math.min(length, 64));
  const format = (Object.keys(FORMAT_NAMES) as DiskFormat[]).find((known) => FORMAT_NAMES[known] === text);
  if (format) return format;
  const known = `one of ${Object.values(FORMAT_NAMES).join(', ')}`;
  if (OTHER_FORMATS.has(text)) throw unsupportedImage(name, 'backing file format', at, known, text);
  throw diskError(name, 'backing file format', at, known, JSON.stringify(showPath(text)));
}
