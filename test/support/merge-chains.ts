/** Chains of three images with random content, in every format that can be merged, and what a guest reads of them. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { type Merged, mergeStep } from '../../src/disk/merge.js';
import { planMerge } from '../../src/disk/merge-plan.js';
import { type ChainOpener, openChain } from '../../src/disk/open-chain.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { needQemuImg } from './disk-tools.js';
import type { Seeded } from './seeded.js';
import { vhdImage, windowsPath } from './vhd-images.js';
import { writeTestVhdx } from './vhdx-images.js';

export const CHAIN_KINDS = ['vhd', 'vhdx', 'qcow2', 'qcow2 on raw'] as const;
export type ChainKind = (typeof CHAIN_KINDS)[number];

export interface TestChain {
  /** From the top down: it builds on the next. */
  readonly top: string;
  readonly child: string;
  readonly parent: string;
  /** What a guest reads through the top, and what it reads through the child. */
  readonly content: Buffer;
  readonly childContent: Buffer;
}

const SIZE_DEFAULT = 6 * MiB;
const BLOCK = 512 * KiB;
const SECTOR = 512;

export function needChain(context: TestContext, kind: ChainKind): void {
  if (kind.startsWith('qcow2')) needQemuImg(context);
}

/** `size`: whole MiB. */
export function makeChain(kind: ChainKind, folder: string, seeded: Seeded, size = SIZE_DEFAULT): TestChain {
  const extension = kind.split(' ')[0];
  const [top, child] = [join(folder, `top.${extension}`), join(folder, `child.${extension}`)];
  const parent = join(folder, kind === 'qcow2 on raw' ? 'parent.img' : `parent.${extension}`);
  const paths = { top, child, parent };
  if (kind === 'vhd') return { ...paths, ...makeVhds(paths, seeded, size) };
  if (kind === 'vhdx') return { ...paths, ...makeVhdxs(paths, seeded, size) };
  return { ...paths, ...makeQcow2s(paths, seeded, size) };
}

type Paths = Pick<TestChain, 'top' | 'child' | 'parent'>;
type Contents = Pick<TestChain, 'content' | 'childContent'>;

interface Layer {
  readonly block: number;
  readonly data: Buffer;
  readonly has: (sector: number) => boolean;
}

/** Some blocks, each with all of its sectors or with some. */
function randomLayer(seeded: Seeded, size: number, share: number, whole: boolean): Layer[] {
  return Array.from({ length: size / BLOCK }, (_, block) => block)
    .filter(() => seeded.chance(share))
    .map((block) => {
      const [every, from] = [seeded.int(2, 5), seeded.int(0, 900)];
      const has = whole || seeded.chance(0.3) ? () => true : (sector: number) => sector % every === 1 || sector > from;
      return { block, data: seeded.bytes(BLOCK), has };
    });
}

function applied(below: Buffer, layer: readonly Layer[]): Buffer {
  const content = Buffer.from(below);
  for (const { block, data, has } of layer) {
    for (let sector = 0; sector * SECTOR < BLOCK; sector++) {
      const at = sector * SECTOR;
      if (has(sector)) content.set(data.subarray(at, at + SECTOR), block * BLOCK + at);
    }
  }
  return content;
}

function layersOf(seeded: Seeded, size: number): { readonly layers: readonly [Layer[], Layer[], Layer[]] } & Contents {
  const layers = [
    randomLayer(seeded, size, 0.5, true),
    randomLayer(seeded, size, 0.6, false),
    randomLayer(seeded, size, 0.3, false),
  ] as [Layer[], Layer[], Layer[]];
  const childContent = applied(applied(Buffer.alloc(size), layers[0]), layers[1]);
  return { layers, childContent, content: applied(childContent, layers[2]) };
}

function makeVhds(paths: Paths, seeded: Seeded, size: number): Contents {
  const { layers, ...contents } = layersOf(seeded, size);
  const ids = [seeded.bytes(16), seeded.bytes(16), seeded.bytes(16)] as const;
  const files = [paths.parent, paths.child, paths.top] as const;
  for (const [at, layer] of layers.entries()) {
    const blocks = new Map(
      layer.map(({ block, data, has }) => {
        const sectors = Array.from({ length: BLOCK / SECTOR }, (_, sector) => sector).filter(has);
        return [block, { data, sectors }];
      }),
    );
    const named = ['', 'parent.vhd', 'child.vhd'][at] as string;
    const locators = [['W2ru', windowsPath(`.\\${named}`)]] as const;
    const parent = at > 0 && { parent: { id: ids[at - 1] as Buffer, name: named, locators } };
    const wish = { size, blockBytes: BLOCK, id: ids[at] as Buffer, blocks, ...(parent || {}) };
    writeFileSync(files[at] as string, vhdImage(wish));
  }
  return contents;
}

const guid = (seeded: Seeded): string =>
  seeded
    .bytes(16)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

function makeVhdxs(paths: Paths, seeded: Seeded, size: number): Contents {
  // Blocks of a VHDX have 1 MiB at least, so two of a layer's blocks share one.
  const { layers, ...contents } = layersOf(seeded, size);
  const ids = [guid(seeded), guid(seeded), guid(seeded)] as const;
  const files = [paths.parent, paths.child, paths.top] as const;
  for (const [at, layer] of layers.entries()) {
    const blocks = new Map<number, { state: number; bytes: Buffer; sectors?: (sector: number) => boolean }>();
    for (let block = 0; block < size / MiB; block++) {
      const halves = [0, 1].map((half) => layer.find((one) => one.block === block * 2 + half));
      if (!halves.some((half) => half)) continue;
      const bytes = Buffer.concat(halves.map((half) => half?.data ?? Buffer.alloc(BLOCK)));
      const per = BLOCK / SECTOR;
      const has = (sector: number): boolean => halves[sector < per ? 0 : 1]?.has(sector % per) ?? false;
      blocks.set(block, at === 0 ? { state: 6, bytes } : { state: 7, bytes, sectors: has });
    }
    const parent = at > 0 && {
      parent: { identity: ids[at - 1] as string, relative: ['', './parent.vhdx', './child.vhdx'][at] as string },
    };
    const disk = { size, blockBytes: MiB, dataGuid: ids[at] as string, blocks, ...(parent || {}) };
    writeTestVhdx(files[at] as string, disk);
  }
  return contents;
}

function makeQcow2s({ top, child, parent }: Paths, seeded: Seeded, size: number): Contents {
  const raw = parent.endsWith('.img');
  const cluster = (): string => `cluster_size=${seeded.pick(['4k', '64k', '256k'])}`;
  // Parents are named as they are beside the child, so that the folder may be moved.
  const create = (path: string, ...more: string[]): void => {
    const args = ['create', '-q', '-f', 'qcow2', '-o', cluster(), ...more, basename(path), String(size)];
    execFileSync('qemu-img', args, { cwd: dirname(path) });
  };
  if (raw) writeFileSync(parent, Buffer.alloc(seeded.pick([size, size / 2])));
  else create(parent);
  create(child, '-F', raw ? 'raw' : 'qcow2', '-b', basename(parent));
  create(top, '-F', 'qcow2', '-b', basename(child));
  if (raw) writeRaw(parent, seeded);
  for (const image of raw ? [child, top] : [parent, child, top]) writeSome(image, seeded, size);
  const contents = [top, child].map((image) => {
    const flat = `${image}.raw`;
    execFileSync('qemu-img', ['convert', '-O', 'raw', image, flat]);
    const bytes = readFileSync(flat);
    realFiles.unlinkSync(flat);
    return bytes;
  });
  return { content: contents[0] as Buffer, childContent: contents[1] as Buffer };
}

function writeRaw(path: string, seeded: Seeded): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, seeded.bytes(MiB), 0, MiB, MiB);
  closeSync(fd);
}

/** Runs of random length at random places, some of them zero. */
function writeSome(image: string, seeded: Seeded, size: number): void {
  const commands = Array.from({ length: 12 }, () => {
    const length = seeded.int(1, 120) * 4096;
    const offset = Math.floor(seeded.int(0, size - length) / 4096) * 4096;
    const what = seeded.chance(0.25) ? '-z' : `-P ${seeded.int(1, 255)}`;
    return ['-c', `write ${what} ${offset} ${length}`];
  });
  execFileSync('qemu-io', ['-f', 'qcow2', ...commands.flat(), image], { stdio: 'ignore' });
}

const local = localScheme(realFiles);
export const localOpener: ChainOpener = {
  open: async (location) => {
    if (!local.openSource) throw new Error('local files have no source');
    return local.openSource(location);
  },
  locate: parseLocation,
};

/** What a guest reads through an image and all that it builds on. */
export async function readThrough(path: string): Promise<Buffer> {
  const opened = await openChain({ location: parseLocation(path) }, localOpener);
  try {
    const content = Buffer.alloc(opened.chain.size);
    let at = 0;
    for await (const run of opened.chain.runs({ offset: 0, length: content.length })) {
      const bytes = run.kind === 'data' ? opened.links[run.link]?.bytes : undefined;
      if (run.kind === 'made') content.set(await run.make(), at);
      if (run.kind === 'data' && bytes)
        content.set(await bytes.read({ offset: run.at, length: run.length }, 'data'), at);
      at += run.length;
    }
    return content;
  } finally {
    await opened.close();
  }
}

/** Merges on this thread, with the given file calls. */
export async function mergeInline(child: string, files: FileLayer, into?: 'base'): Promise<Merged[]> {
  const wish = { child: parseLocation(child), keep: false, breakOthers: false, ...(into && { into }) };
  const host = { files, opener: localOpener, stopped: () => false, counted: () => undefined, pace: () => undefined };
  const merged: Merged[] = [];
  for (const step of await planMerge(wish, localOpener, files)) merged.push(await mergeStep(step, host));
  return merged;
}
