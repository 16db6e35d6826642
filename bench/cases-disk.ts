/**
 * The cases about disk images, beside qemu-img: how long a huge one takes to be known, what copies of a content cost,
 * and a merge. The peer does what it does by default, flushes included; ours looks whether the image is sound, hashes
 * all that it copies, and can be killed at any moment.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TransferError } from '../src/core/errors.js';
import { MiB } from '../src/core/units.js';
import { assertSame } from './compare.js';
import {
  assertSameDisk,
  convertDisk,
  copyAside,
  HUGE_BLOCK_BYTES,
  HUGE_BLOCKS,
  makeHugeVhdx,
  makeRawDisk,
  overlayDisk,
  rawOf,
} from './disk-images.js';
import { type MapResult, mapCommand } from './map-child.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  command,
  compareWith,
  isPresent,
  leftOut,
  runSeries,
} from './measure.js';
import { measuredRun, type RunCost } from './resource-use.js';
import { valueFinding, worstFinding } from './statistics.js';

const TOOL = 'qemu-img';
/** The disk is as much larger than its data. */
const DISK_TIMES = 4;
const [BASE, OVERLAY] = ['base.qcow2', 'overlay.qcow2'];

type Format = 'vhdx' | 'qcow2';

export const diskCases: readonly BenchCase[] = [
  {
    name: 'disk-map',
    title: `opening and mapping a dynamic VHDX of 2 TiB with ${HUGE_BLOCKS} blocks of ${HUGE_BLOCK_BYTES / MiB} MiB`,
    sourceBytes: () => 32 * MiB,
    run: mapping,
  },
  ...(['vhdx', 'qcow2'] as const).map((format) => ({
    name: `disk-${format}`,
    title: `copy --to raw --no-sync of a dynamic ${format}, half of --size allocated, beside qemu-img convert -n -W`,
    sourceBytes: (size: number) => size,
    run: (bench: Bench) => copying(bench, format),
  })),
  {
    name: 'disk-merge',
    title: 'disk merge of a qcow2 overlay that holds half of --size, durable at every moment, beside qemu-img commit',
    sourceBytes: (size) => 3 * size,
    run: merging,
  },
];

async function mapping(bench: Bench): Promise<CaseResult> {
  const { workspace, pairs, signal } = bench;
  if (!isPresent({ tool: TOOL })) return leftOut(`${TOOL} is not installed`);
  const image = workspace.path('huge.vhdx');
  await makeHugeVhdx(image);
  const [seconds, memoryMiB, runs]: [number[], number[], RunCost[]] = [[], [], []];
  for (let round = 0; round < pairs; round++) {
    const resultFile = workspace.path('map');
    runs.push(await measuredRun({ argv: mapCommand(image, resultFile), scratch: workspace.path('use'), signal }));
    const found = JSON.parse(readFileSync(resultFile, 'utf8')) as MapResult;
    if (found.dataBytes !== HUGE_BLOCKS * HUGE_BLOCK_BYTES) {
      throw new TransferError('E_INTEGRITY', `${image}: ${found.dataBytes} bytes are said to be allocated`);
    }
    seconds.push(found.seconds);
    memoryMiB.push(found.memoryBytes / MiB);
  }
  await workspace.remove(image);
  const findings = [
    valueFinding('opening and mapping', 's', seconds, { kind: 'at most', value: 0.5 }),
    worstFinding('memory for it, beyond what Node takes', 'MiB', memoryMiB, { kind: 'at most', value: 64 }),
  ];
  return { contenders: [{ name: 'blockferry', runs }], findings, notes: [] };
}

async function copying(bench: Bench, format: Format): Promise<CaseResult> {
  const { workspace, sizeBytes, signal } = bench;
  if (!isPresent({ tool: TOOL })) return leftOut(`${TOOL} is not installed`);
  const bytes = sizeBytes / 2;
  const [raw, image] = [workspace.path('disk.raw'), workspace.path(`disk.${format}`)];
  await makeRawDisk(raw, DISK_TIMES * bytes, bytes);
  await convertDisk(raw, format, image);
  const convert = `${TOOL} convert -f ${format} -O raw -W`;
  const qemu = (name: string, script: string): Contender => {
    const target = workspace.path(`theirs-${name.length}`);
    return { name, argv: ['sh', '-c', script, image, target], target };
  };
  const contenders = [
    blockferry(['--no-sync', '--to', 'raw', image], workspace.path('ours')),
    // -n wants a target that is there.
    qemu(`${TOOL} convert -n -W`, `truncate -s ${DISK_TIMES * bytes} "$1" && ${convert} -n "$0" "$1"`),
    qemu(`${TOOL} convert -W`, `${convert} "$0" "$1"`),
  ];
  const check = (target: string): Promise<void> => assertSame(raw, target, signal);
  const results = await runSeries(bench, { contenders, cached: image, warmBytes: bytes, check });
  await workspace.remove(raw);
  await workspace.remove(image);
  const findings = [
    ...compareWith(results, `${TOOL} convert -n -W`, 'ours / theirs', { kind: 'at most', value: 1.2 }),
    ...compareWith(results, `${TOOL} convert -W`, 'ours / theirs'),
  ];
  return { contenders: results, findings, notes: [] };
}

async function merging(bench: Bench): Promise<CaseResult> {
  const { workspace, sizeBytes } = bench;
  if (!isPresent({ tool: TOOL })) return leftOut(`${TOOL} is not installed`);
  const bytes = sizeBytes / 2;
  const [raw, base, overlay] = [workspace.path('disk.raw'), workspace.path(BASE), workspace.path(OVERLAY)];
  await makeRawDisk(raw, DISK_TIMES * bytes, bytes / 2);
  await convertDisk(raw, 'qcow2', base);
  await workspace.remove(raw);
  await makeRawDisk(raw, DISK_TIMES * bytes, bytes);
  await overlayDisk(raw, base, overlay);
  await workspace.remove(raw);
  await rawOf(overlay, raw);
  const merge = (name: string, argv: readonly string[]): Contender => {
    const folder = workspace.path(name.replaceAll(' ', '-'));
    return { name, argv: [...argv, join(folder, OVERLAY)], target: join(folder, BASE) };
  };
  const contenders = [
    merge('blockferry', command('disk', 'merge', '--quiet')),
    merge(`${TOOL} commit`, [TOOL, 'commit', '-q']),
  ];
  const prepare = (target: string) => copyAside([base, overlay], dirname(target));
  const check = (target: string) => assertSameDisk(raw, target, 'qcow2');
  const results = await runSeries(bench, { contenders, warmBytes: bytes, prepare, check });
  for (const path of [raw, base, overlay]) await workspace.remove(path);
  const findings = compareWith(results, `${TOOL} commit`, 'ours / theirs', { kind: 'at most', value: 1.5 });
  return { contenders: results, findings, notes: [] };
}
