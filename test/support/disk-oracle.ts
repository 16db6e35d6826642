/** What QEMU's tools read of an image: whole where it is small, and elsewhere through windows. */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ByteRange } from '../../src/core/chunk.js';
import type { Written } from './disk-recipes.js';
import { SparseContent, type Stretch } from './sparse-content.js';

/** For damaged images, over which a tool may ponder. */
const MS_MAX = 60_000;

export interface Oracle {
  /** Holds the image and what it builds on, and takes what is converted. */
  readonly folder: string;
  readonly path: string;
  readonly format: Written;
}

/** Runs a tool in a folder, to its end. @throws Error with what it wrote to stderr */
export function qemu(tool: 'qemu-img' | 'qemu-io', cwd: string, ...args: readonly string[]): string {
  const options: ExecFileSyncOptionsWithStringEncoding = { cwd, encoding: 'utf8', stdio: 'pipe', timeout: MS_MAX };
  return execFileSync(tool, args, options);
}

export function qemuSize({ folder, path, format }: Oracle): number {
  return JSON.parse(qemu('qemu-img', folder, 'info', '--output=json', '-f', format, path))['virtual-size'];
}

/** The content inside the windows; the rest is taken for zero. */
export function qemuContent(oracle: Oracle, size: number, windows: readonly ByteRange[]): SparseContent {
  const { folder, path, format } = oracle;
  const inner = { driver: format, file: { driver: 'file', filename: path } };
  const stretches = windows.map(({ offset, length }): Stretch => {
    if (length === 0) return { offset, bytes: Buffer.alloc(0) };
    const window = JSON.stringify({ driver: 'raw', offset, size: length, file: inner });
    qemu('qemu-img', folder, 'convert', '-O', 'raw', `json:${window}`, 'converted');
    return { offset, bytes: readFileSync(join(folder, 'converted')) };
  });
  rmSync(join(folder, 'converted'), { force: true });
  return SparseContent.of(size, stretches);
}
