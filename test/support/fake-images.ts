/**
 * Disk images for guests that are not real: raw ones, and overlays of the simplest kind, each naming its parent in its
 * first sector and holding the sectors that were written since. A sector whose first byte is zero was not.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import type { VmDisk } from '../../src/migrate/vm.js';

const SECTOR = 512;
const MARK = 'overlay of ';

export function makeOverlay(path: string, parent: string): void {
  if (existsSync(path)) throw new Error(`${path} exists`);
  writeFileSync(path, header(parent), { flag: 'wx' });
}

/** As a real image is pointed at another parent: in place. */
export function repointOverlay(path: string, parent: string): void {
  if (parentOf(path) === undefined) throw new Error(`${path} is no overlay`);
  write(path, header(parent), 0);
}

export function parentOf(path: string): string | undefined {
  const text = read(path, 0)
    .toString('utf8')
    .replace(/[\0\n]+$/, '');
  return text.startsWith(MARK) ? text.slice(MARK.length) : undefined;
}

export function writeSector(path: string, sector: number, text: string): void {
  write(path, Buffer.from(text.padEnd(SECTOR, ' ')), offsetIn(path, sector));
}

/** Through the chain, by what the files themselves say. */
export function readSector(path: string, sector: number): string {
  const bytes = read(path, offsetIn(path, sector));
  if (bytes[0] !== 0 && bytes.length === SECTOR) return bytes.toString('utf8').trimEnd();
  const parent = parentOf(path);
  return parent === undefined ? '' : readSector(parent, sector);
}

/** What the upper one holds goes into the lower one. */
export function mergeSectors(upper: string, lower: string, sectors: number): void {
  for (let sector = 0; sector < sectors; sector++) {
    const bytes = read(upper, offsetIn(upper, sector));
    if (bytes[0] !== 0 && bytes.length === SECTOR) write(lower, bytes, offsetIn(lower, sector));
  }
}

/** What is wrong with the links of a disk; undefined: each image names the one below it. */
export function brokenLink({ chain }: VmDisk): string | undefined {
  for (const [at, { path }] of chain.entries()) {
    if (!existsSync(path)) return `${path} is missing`;
    if (parentOf(path) !== chain[at - 1]?.path) return `${path} builds on ${parentOf(path)}`;
  }
  return undefined;
}

function header(parent: string): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  if (bytes.write(MARK + parent) >= SECTOR) throw new Error('the path of the parent is too long');
  return bytes;
}

function offsetIn(path: string, sector: number): number {
  return (sector + (parentOf(path) === undefined ? 0 : 1)) * SECTOR;
}

function read(path: string, position: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(SECTOR);
    if (position >= fstatSync(fd).size) return bytes;
    return bytes.subarray(0, readSync(fd, bytes, 0, SECTOR, position));
  } finally {
    closeSync(fd);
  }
}

function write(path: string, bytes: Buffer, position: number): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, position);
  } finally {
    closeSync(fd);
  }
}
