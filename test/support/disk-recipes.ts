/**
 * How each image of the corpus is made by QEMU's own tools: every kind of each format, sizes that are no whole number
 * of anything, and disks that are larger than 2^32 bytes, written to on both sides of that.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { GiB, KiB, MiB, TiB } from '../../src/core/units.js';
import { sealVhdx } from './checksums.js';
import type { Seeded } from './seeded.js';

export type Written = 'vpc' | 'vhdx' | 'qcow2' | 'raw';

export type Step =
  /** Bytes that nothing else has, compressed where the format can. `discard`: the guest needs them no more. */
  | { readonly kind: 'data' | 'compressed' | 'zero' | 'discard'; readonly at: number; readonly length: number }
  | { readonly kind: 'snapshot'; readonly name: string };

type Steps = (seeded: Seeded, size: number) => readonly Step[];

export interface Recipe {
  readonly name: string;
  readonly format: Written;
  /** As `qemu-img create -o` has it. */
  readonly options?: string;
  readonly size: number;
  readonly steps?: Steps;
  /** The image that it is an overlay of. */
  readonly backing?: Recipe;
  /** Changes the finished file; what is right is then what is read after QEMU has repaired a copy. */
  readonly damage?: (path: string) => void;
}

const SECTOR = 512;
const ODD = 5 * MiB + 3 * SECTOR;

/** First and last sector, some pieces that begin and end anywhere, and a few that are zero. */
function scattered(seeded: Seeded, size: number): readonly Step[] {
  const sectors = size / SECTOR;
  const piece = (kind: 'data' | 'zero'): Step => {
    const first = seeded.int(0, sectors - 1);
    return { kind, at: first * SECTOR, length: Math.min(sectors - first, seeded.int(1, 150)) * SECTOR };
  };
  return [
    { kind: 'data', at: 0, length: SECTOR },
    ...Array.from({ length: 6 }, () => piece('data')),
    piece('zero'),
    piece('data'),
    piece('zero'),
    { kind: 'data', at: size - SECTOR, length: SECTOR },
  ];
}

/** Around the offsets at which numbers of 31, 32 and 40 bits end, and the two ends of the disk. */
function farApart(_: Seeded, size: number): readonly Step[] {
  const around = [2 ** 31, 2 ** 32, 2 ** 40, size / 2].map((at) => at - (at % SECTOR) - 20 * KiB);
  const starts = [0, ...around.filter((at) => at > 64 * KiB && at < size - 128 * KiB), size - 64 * KiB];
  return [...new Set(starts)].sort((a, b) => a - b).map((at) => ({ kind: 'data', at, length: 64 * KiB }));
}

/** So many blocks are there that the file goes beyond 4 GiB; the last ones hold data. */
function manyBlocks(blockBytes: number): Steps {
  return (_, size) => {
    const starts = Array.from({ length: Math.ceil(size / blockBytes) }, (_, block) => block * blockBytes);
    return [
      ...starts.slice(0, -2).map((at): Step => ({ kind: 'zero', at, length: SECTOR })),
      ...[0, ...starts.slice(-2)].map((at): Step => ({ kind: 'data', at, length: 2 * SECTOR })),
    ];
  };
}

function compressed(clusterBytes: number): Steps {
  return (seeded, size) => {
    const clusters = Math.floor(size / clusterBytes);
    const chosen = Array.from({ length: 8 }, () => seeded.int(0, clusters - 1));
    return [
      ...[...new Set(chosen)].map((at): Step => ({ kind: 'compressed', at: at * clusterBytes, length: clusterBytes })),
      { kind: 'data', at: (chosen[0] ?? 0) * clusterBytes + SECTOR, length: SECTOR },
      { kind: 'data', at: size - SECTOR, length: SECTOR },
    ];
  };
}

/** Clusters that were data and read as zero now, kept or given back. */
function discarded(seeded: Seeded, size: number): readonly Step[] {
  const cluster = 64 * KiB;
  const at = (): number => seeded.int(0, Math.floor(size / cluster) - 3) * cluster;
  return [
    ...scattered(seeded, size),
    { kind: 'zero', at: at(), length: 2 * cluster },
    { kind: 'discard', at: at(), length: 2 * cluster },
    { kind: 'zero', at: at(), length: cluster },
    { kind: 'data', at: at() + SECTOR, length: 3 * SECTOR },
  ];
}

const snapshots: Steps = (seeded, size) => [
  ...scattered(seeded, size),
  { kind: 'snapshot', name: 'first' },
  ...scattered(seeded, size),
  { kind: 'snapshot', name: 'second' },
  { kind: 'data', at: 0, length: 3 * SECTOR },
];

/**
 * What a crash of the writer leaves: the header says that what QEMU logged last has not reached the tables yet, and
 * the table of blocks, which that was, is empty.
 */
function takeBackLog(path: string): void {
  const file = readFileSync(path);
  const [logAt, batAt, step] = [MiB, 2 * MiB, 4 * KiB];
  const steps = Array.from({ length: MiB / step }, (_, index) => logAt + index * step);
  const entry = steps.filter((at) => file.toString('latin1', at, at + 4) === 'loge').at(-1) ?? 0;
  for (const at of [64 * KiB, 128 * KiB]) {
    const header = file.subarray(at, at + step);
    file.copy(header, 48, entry + 32, entry + 48);
    sealVhdx(header);
  }
  file.fill(0, batAt, batAt + step);
  writeFileSync(path, file);
}

const vhds: readonly Recipe[] = (['dynamic', 'fixed'] as const).flatMap((subformat) =>
  (['on', 'off'] as const).flatMap((force): Recipe[] => {
    const options = `subformat=${subformat},force_size=${force}`;
    const exact = force === 'on' ? 'of exact size' : 'sized by geometry';
    const made = (size: number): Recipe => ({
      name: `${subformat} VHD ${exact}, ${size} bytes`,
      format: 'vpc',
      options,
      size,
      steps: scattered,
    });
    return [made(ODD), made(34 * KiB), ...(force === 'on' ? [made(SECTOR)] : [])];
  }),
);

const vhdx = (name: string, options: string, rest: Partial<Recipe> = {}): Recipe => ({
  name: `${name} VHDX`,
  format: 'vhdx',
  options,
  size: ODD,
  steps: scattered,
  ...rest,
});

const qcow2 = (name: string, options: string, rest: Partial<Recipe> = {}): Recipe => ({
  name: `qcow2 ${name}`,
  format: 'qcow2',
  options,
  size: ODD,
  steps: scattered,
  ...rest,
});

const base = (format: Written, size: number, options?: string): Recipe => ({
  name: `${format} base`,
  format,
  size,
  steps: scattered,
  ...(options !== undefined && { options }),
});

export const recipes: readonly Recipe[] = [
  { name: 'raw disk', format: 'raw', size: ODD, steps: scattered },
  { name: 'empty raw disk', format: 'raw', size: 0 },
  ...vhds,
  { name: 'dynamic VHD without data', format: 'vpc', options: 'force_size=on', size: ODD },
  { name: 'dynamic VHD of 2040 GiB', format: 'vpc', size: 2040 * GiB, options: 'force_size=on', steps: farApart },
  {
    name: 'dynamic VHD, a file beyond 4 GiB',
    format: 'vpc',
    size: 4200 * MiB,
    options: 'force_size=on',
    steps: manyBlocks(2 * MiB),
  },
  {
    name: 'fixed VHD, a file beyond 4 GiB',
    format: 'vpc',
    size: 6 * GiB + SECTOR,
    options: 'subformat=fixed,force_size=on',
    steps: farApart,
  },
  vhdx('dynamic', 'subformat=dynamic'),
  vhdx('a file beyond 4 GiB', 'block_size=256M,block_state_zero=off', { size: 6 * GiB, steps: manyBlocks(256 * MiB) }),
  qcow2('in a file beyond 4 GiB', 'preallocation=metadata', { size: 6 * GiB, steps: farApart }),
  vhdx('dynamic, blocks of 1 MiB,', 'block_size=1M'),
  vhdx('dynamic, blocks of 2 MiB, log of 4 MiB,', 'block_size=2M,log_size=4M'),
  vhdx('dynamic, blocks of 256 MiB,', 'block_size=256M', { size: 600 * MiB + SECTOR, steps: farApart }),
  vhdx('dynamic, no zero blocks,', 'block_state_zero=off,block_size=1M'),
  vhdx('fixed', 'subformat=fixed,block_size=1M'),
  vhdx('one-sector', 'block_size=1M', { size: SECTOR }),
  vhdx('empty', 'block_size=1M', { size: 0, steps: () => [] }),
  vhdx('dynamic, without data,', 'block_size=1M', { steps: () => [] }),
  vhdx('dynamic, with a log to replay,', 'block_size=1M', { damage: takeBackLog }),
  vhdx('2 TiB dynamic', 'block_size=1M', { size: 2 * TiB, steps: farApart }),
  vhdx('2 TiB and 1 sector dynamic', '', { size: 2 * TiB + SECTOR, steps: farApart }),
  qcow2('of version 2', 'compat=0.10'),
  qcow2('of version 3', 'compat=1.1'),
  qcow2('with clusters of 512 bytes', 'cluster_size=512'),
  qcow2('with clusters of 4 KiB, 1-bit counts', 'cluster_size=4k,refcount_bits=1'),
  qcow2('with clusters of 2 MiB, 64-bit counts', 'cluster_size=2M,refcount_bits=64'),
  qcow2('with subclusters', 'extended_l2=on', { steps: discarded }),
  qcow2('with subclusters of 512 bytes', 'extended_l2=on,cluster_size=16k'),
  qcow2('compressed by zlib', 'cluster_size=64k', { steps: compressed(64 * KiB) }),
  qcow2('of version 2, compressed', 'compat=0.10,cluster_size=4k', { steps: compressed(4 * KiB) }),
  qcow2('compressed by zstd', 'compression_type=zstd', { steps: compressed(64 * KiB) }),
  qcow2('compressed, clusters of 2 MiB', 'cluster_size=2M,compression_type=zstd', { steps: compressed(2 * MiB) }),
  qcow2('with zero clusters', 'cluster_size=64k', { steps: discarded }),
  qcow2('with snapshots', 'cluster_size=64k', { steps: snapshots }),
  qcow2('with all its tables made before', 'preallocation=metadata'),
  qcow2('with late counts', 'lazy_refcounts=on'),
  qcow2('of one sector', '', { size: SECTOR }),
  qcow2('of no bytes', '', { size: 0, steps: () => [] }),
  qcow2('without data', '', { steps: () => [] }),
  qcow2('of 2 TiB', '', { size: 2 * TiB, steps: farApart }),
  qcow2('of 2 TiB, version 2, clusters of 2 MiB', 'compat=0.10,cluster_size=2M', { size: 2 * TiB, steps: farApart }),
  qcow2('over a raw disk', '', { backing: base('raw', ODD), steps: discarded }),
  qcow2('over a shorter raw disk', '', { backing: base('raw', 2 * MiB + SECTOR), steps: discarded }),
  qcow2('over a longer qcow2', 'extended_l2=on', { backing: base('qcow2', 2 * ODD), steps: discarded }),
  qcow2('over a VHD', '', { backing: base('vpc', ODD, 'force_size=on'), steps: discarded }),
  qcow2('over a VHDX', 'cluster_size=4k', { backing: base('vhdx', ODD, 'block_size=1M') }),
  qcow2('over an overlay over a raw disk', '', {
    backing: { ...base('qcow2', ODD), backing: base('raw', ODD) },
    steps: discarded,
  }),
];
