/** Disk images for tests of copies: made and judged by QEMU's own tools. */
import { execFileSync, spawnSync } from 'node:child_process';
import type { Location } from '../../src/core/endpoint.js';
import { diskLocation } from '../../src/disk/disk-location.js';
import type { LayoutKind } from '../../src/disk/layout.js';
import { parseLocation } from '../../src/endpoint/location.js';

export const qemuImgFound = spawnSync('qemu-img', ['--version']).status === 0;

export function qemuImg(...args: readonly string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8' });
}

/** Each command as qemu-io takes it, such as `write -P 7 1M 64k`. */
export function qemuIo(image: string, format: string, ...commands: readonly string[]): void {
  execFileSync('qemu-io', ['-f', format, ...commands.flatMap((command) => ['-c', command]), image]);
}

/** What QEMU calls the format of a layout. */
export const QEMU_FORMAT = { raw: 'raw', 'vhd-fixed': 'vpc', 'vhd-dynamic': 'vpc', vhdx: 'vhdx' } as const;

/** Whether QEMU reads the same content from both: sizes may differ by zeroes. */
export function sameContent(one: string, oneFormat: string, other: string, otherFormat: string): boolean {
  return spawnSync('qemu-img', ['compare', '-f', oneFormat, '-F', otherFormat, one, other]).status === 0;
}

/** Without `parents` an image that has one is refused, as a copy without --flatten does. */
export const contentOf = (path: string, { parents = false } = {}): Location =>
  diskLocation({ container: parseLocation(path), parents });

export const newDisk = (path: string, layout: LayoutKind | 'flattened'): Location =>
  diskLocation({ container: parseLocation(path), layout });
