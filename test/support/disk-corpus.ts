/**
 * Real disk images, small and many, each with the content that QEMU reads from it. They are made once a run, in the
 * folder that the runs' configuration names, and read by all tests of that run.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ByteRange } from '../../src/core/chunk.js';
import { TransferError } from '../../src/core/errors.js';
import { KiB, MiB } from '../../src/core/units.js';
import type { DiskFormat } from '../../src/disk/image.js';
import { qemu, qemuContent, qemuSize } from './disk-oracle.js';
import { type Recipe, recipes, type Step, type Written } from './disk-recipes.js';
import { Seeded } from './seeded.js';
import { SparseContent } from './sparse-content.js';

/** Up to here QEMU's content is converted whole; of larger disks, around all that was written. */
const WHOLE_BYTES_MAX = 64 * MiB;
const SEED = 20_251_125;
const INDEX = 'index.json';

export interface CorpusImage {
  readonly name: string;
  /** The image, then what it builds on. */
  readonly links: readonly CorpusLink[];
  readonly content: SparseContent;
}

export interface CorpusLink {
  readonly path: string;
  readonly format: DiskFormat;
  readonly qemuFormat: Written;
}

export const hasQemuImg = ['qemu-img', 'qemu-io'].every((tool) => spawnSync(tool, ['--version']).status === 0);

/** All images; made by the first who asks. */
export function diskCorpus(
  folder = join(process.env.BLOCKFERRY_TEST_RUN ?? '', 'disk-corpus'),
): readonly CorpusImage[] {
  if (!existsSync(join(folder, INDEX))) build(folder);
  const index = JSON.parse(readFileSync(join(folder, INDEX), 'utf8')) as readonly Omit<CorpusImage, 'content'>[];
  return index.map(({ name, links }, at) => ({
    name,
    links: links.map((link) => ({ ...link, path: join(folder, link.path) })),
    content: SparseContent.load(join(folder, `${at}.content`)),
  }));
}

/** Whoever is first gives the folder its name; the other's is as good. */
function build(folder: string): void {
  mkdirSync(join(folder, '..'), { recursive: true });
  const scratch = mkdtempSync(`${folder}-`);
  const index = recipes.map((recipe, at) => {
    const links = make(scratch, recipe, String(at), new Seeded(SEED + at));
    oracle(scratch, recipe, links).save(join(scratch, `${at}.content`));
    return { name: recipe.name, links };
  });
  writeFileSync(join(scratch, INDEX), JSON.stringify(index));
  try {
    renameSync(scratch, folder);
  } catch (thrown) {
    rmSync(scratch, { recursive: true });
    if (!existsSync(join(folder, INDEX))) throw thrown;
  }
}

/** Returns the links with names inside the folder: names of parents are relative, so the folder may move. */
function make(cwd: string, recipe: Recipe, name: string, seeded: Seeded): readonly CorpusLink[] {
  const under = recipe.backing ? make(cwd, recipe.backing, `${name}-base`, seeded) : [];
  const { format, options, size, steps } = recipe;
  const path = `${name}.${format === 'vpc' ? 'vhd' : format}`;
  const backing = under[0] ? ['-b', under[0].path, '-F', under[0].qemuFormat] : [];
  qemu('qemu-img', cwd, 'create', '-q', '-f', format, ...(options ? ['-o', options] : []), ...backing, path, `${size}`);
  const madeSize = qemuSize({ folder: cwd, path, format });
  if (madeSize > 0) write({ cwd, path, format }, steps?.(seeded, madeSize) ?? [], seeded);
  recipe.damage?.(join(cwd, path));
  return [{ path, format: format === 'vpc' ? 'vhd' : format, qemuFormat: format }, ...under];
}

interface Opened {
  readonly cwd: string;
  readonly path: string;
  readonly format: Written;
}

function write({ cwd, path, format }: Opened, steps: readonly Step[], seeded: Seeded): void {
  let commands: string[] = [];
  const flush = (): void => {
    if (commands.length > 0) qemu('qemu-io', cwd, '-f', format, '-d', 'unmap', ...commands, path);
    commands = [];
  };
  const said = (command: string): void => void commands.push('-c', command);
  for (const [index, step] of steps.entries()) {
    if (step.kind === 'snapshot') {
      flush();
      qemu('qemu-img', cwd, 'snapshot', '-c', step.name, path);
      continue;
    }
    const { kind, at, length } = step;
    if (kind === 'discard') said(`discard ${at} ${length}`);
    if (kind === 'zero') said(`write -z${format === 'qcow2' && index % 2 ? ' -u' : ''} ${at} ${length}`);
    if (kind === 'discard' || kind === 'zero') continue;
    writeFileSync(join(cwd, `${index}.pattern`), kind === 'data' ? seeded.bytes(length) : repetitive(seeded, length));
    said(`write${kind === 'compressed' ? ' -c' : ''} -s ${index}.pattern ${at} ${length}`);
  }
  flush();
  for (const index of steps.keys()) rmSync(join(cwd, `${index}.pattern`), { force: true });
}

/** Can be compressed, and yet no two sectors are the same. */
function repetitive(seeded: Seeded, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 512) bytes.fill(seeded.bytes(16), at, at + 512);
  return bytes;
}

/** The content as `qemu-img convert` reads it. */
function oracle(cwd: string, recipe: Recipe, [link]: readonly CorpusLink[]): SparseContent {
  if (!link) throw new TransferError('E_BUG', `${recipe.name}: no image was made`);
  let { path } = link;
  if (recipe.damage) {
    path = `repaired-${path}`;
    copyFileSync(join(cwd, link.path), join(cwd, path));
    qemu('qemu-img', cwd, 'check', '-q', '-r', 'all', '-f', link.qemuFormat, path);
  }
  const image = { folder: cwd, path, format: link.qemuFormat };
  const size = qemuSize(image);
  const windows = size > WHOLE_BYTES_MAX ? windowsOf(recipe, size) : [{ offset: 0, length: size }];
  const content = qemuContent(image, size, windows);
  if (recipe.damage) rmSync(join(cwd, path));
  return content;
}

/** What was written last, and some of what is around it. The steps are the same whoever asks. */
function windowsOf({ steps }: Recipe, size: number): readonly ByteRange[] {
  const around = 256 * KiB;
  const windows: ByteRange[] = [];
  for (const step of steps?.(new Seeded(0), size) ?? []) {
    if (step.kind !== 'data') continue;
    const last = windows.at(-1);
    const from = Math.max(last ? last.offset + last.length : 0, step.at - around);
    windows.push({ offset: from, length: Math.min(size, step.at + step.length + around) - from });
  }
  return windows;
}
