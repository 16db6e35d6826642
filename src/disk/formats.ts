/** Which formats there are, and which of them a file is. A format's code is loaded when a file of it is met. */
import { diskError } from './disk-bytes.js';
import type { DiskBytes, DiskFormat, DiskImage, ImageFormat, ImageRef } from './image.js';

const PROBE_BYTES = 512;

const formats: Readonly<Record<DiskFormat, () => Promise<ImageFormat>>> = {
  raw: async () => (await import('./raw.js')).raw,
  vhd: async () => (await import('./vhd/vhd.js')).vhd,
  vhdx: async () => (await import('./vhdx/vhdx.js')).vhdx,
  qcow2: async () => (await import('./qcow2/qcow2.js')).qcow2,
};

export const DISK_FORMATS = Object.keys(formats) as readonly DiskFormat[];

export function formatNamed(format: DiskFormat): Promise<ImageFormat> {
  return formats[format]();
}

/** What the file's own marks say: `raw` where there is none, as in a raw disk, and in everything else. */
export async function probeFormat(bytes: DiskBytes): Promise<DiskFormat> {
  const first = await bytes.read({ offset: 0, length: Math.min(PROBE_BYTES, bytes.size) }, 'beginning');
  if (first.toString('latin1', 0, 8) === 'vhdxfile') return 'vhdx';
  if (first.toString('latin1', 0, 4) === 'QFI\xfb') return 'qcow2';
  if (isFooter(first)) return 'vhd';
  const offset = Math.max(0, bytes.size - PROBE_BYTES);
  const last = await bytes.read({ offset, length: bytes.size - offset }, 'end');
  // The footer of Virtual PC before 2004 is one byte shorter.
  return isFooter(last) || isFooter(last.subarray(1)) ? 'vhd' : 'raw';
}

/** The format that a file has by its name; undefined: the name says nothing, as that of a raw disk. */
export function formatOfName(name: string): DiskFormat | undefined {
  const extension = /\.(a?vhdx?|qcow2?)$/i.exec(name)?.[1]?.toLowerCase();
  if (extension === undefined) return undefined;
  return extension.startsWith('q') ? 'qcow2' : extension.endsWith('x') ? 'vhdx' : 'vhd';
}

const isFooter = (bytes: Buffer): boolean => bytes.toString('latin1', 0, 8) === 'conectix';

/** Absent format: what the file's own marks say. @throws TransferError E_DISK_FORMAT */
export async function openImage(bytes: DiskBytes, format?: DiskFormat): Promise<DiskImage> {
  return (await formatNamed(format ?? (await probeFormat(bytes)))).open(bytes);
}

export async function attachImage(ref: ImageRef, bytes: DiskBytes): Promise<DiskImage> {
  const format = Object.hasOwn(formats, ref.format) ? formats[ref.format] : undefined;
  if (!format) throw diskError(bytes.name, 'format', 0, DISK_FORMATS.join(', '), String(ref.format));
  return (await format()).attach(ref, bytes);
}
