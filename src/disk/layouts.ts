/** Which layouts there are for new disks. A layout's code is loaded when a disk of it is made. */
import type { DiskFormat } from './image.js';
import type { LayoutFormat, LayoutKind } from './layout.js';

interface LayoutEntry {
  /** What the disk is, once it is whole. */
  readonly format: DiskFormat;
  /** Of its name, where it gets one of its source. */
  readonly extension: string;
  readonly load: () => Promise<LayoutFormat>;
}

export const LAYOUTS: Readonly<Record<LayoutKind, LayoutEntry>> = {
  raw: { format: 'raw', extension: '.raw', load: async () => (await import('./raw-layout.js')).rawLayout },
  'vhd-fixed': {
    format: 'vhd',
    extension: '.vhd',
    load: async () => (await import('./vhd/fixed-layout.js')).fixedVhdLayout,
  },
  'vhd-dynamic': {
    format: 'vhd',
    extension: '.vhd',
    load: async () => (await import('./vhd/dynamic-layout.js')).dynamicVhdLayout,
  },
  vhdx: {
    format: 'vhdx',
    extension: '.vhdx',
    load: async () => (await import('./vhdx/dynamic-layout.js')).vhdxDynamic,
  },
};

export const LAYOUT_KINDS = Object.keys(LAYOUTS) as readonly LayoutKind[];

/** What an image becomes that is to need no other: of its own format, where that can be written. */
export const FLATTENED: Readonly<Record<DiskFormat, LayoutKind>> = {
  raw: 'raw',
  vhd: 'vhd-dynamic',
  vhdx: 'vhdx',
  qcow2: 'raw',
};

const FLATTENED_EXTENSIONS: Readonly<Record<string, string>> = { '.avhd': '.vhd', '.avhdx': '.vhdx', '.qcow2': '.raw' };

/** The name of a disk that is made of a file of this name: its extension says what it is. */
export function nameLaidOut(sourceName: string, kind: LayoutKind | 'flattened'): string {
  const own = /(?<=.)\.(raw|img|a?vhdx?|qcow2)$/i.exec(sourceName)?.[0] ?? '';
  const stem = sourceName.slice(0, sourceName.length - own.length);
  if (stem === '') return '';
  const flattened = FLATTENED_EXTENSIONS[own.toLowerCase()] ?? own;
  return `${stem}${kind === 'flattened' ? flattened : LAYOUTS[kind].extension}`;
}
