/** A small VHDX that tests damage, and what a check says of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/core/units.js';
import { crc32cWithout } from '../../src/disk/crc32c.js';
import type { DiskBytes, Finding } from '../../src/disk/image.js';
import { vhdx } from '../../src/disk/vhdx/vhdx.js';
import { imageFile } from './image-file.js';
import { Seeded } from './seeded.js';
import { GUIDS, type TestBlock, writeTestVhdx } from './vhdx-images.js';

export const SIZE = 8 * MiB;
export const BAT_AT = 3 * MiB;
export const METADATA_AT = 2 * MiB;
/** Where the virtual disk size stands. */
export const SIZE_AT = METADATA_AT + 64 * KiB + 8;

/** In a folder of its own, which goes with {@link SmallDisk.remove}. */
export class SmallDisk {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vhdx-damage-'));
  readonly path = join(this.#folder, 'disk.vhdx');

  /** Blocks 0, 2 and 3 of four have something to say; the third is partially present in a differencing disk. */
  write(differencing = false): void {
    const seeded = new Seeded(1);
    const blocks = new Map<number, TestBlock>([
      [0, { state: 6, bytes: seeded.bytes(2 * MiB) }],
      [2, differencing ? { state: 7, bytes: seeded.bytes(2 * MiB), sectors: (at) => at < 9 } : { state: 2 }],
      [3, { state: 6, bytes: seeded.bytes(2 * MiB) }],
    ]);
    const parent = { identity: GUIDS.id, relative: 'base.vhdx' };
    writeTestVhdx(this.path, { size: SIZE, blocks, ...(differencing && { parent }) });
  }

  patch(change: (image: Buffer) => unknown): void {
    const image = readFileSync(this.path);
    change(image);
    writeFileSync(this.path, image);
  }

  async check(): Promise<readonly Finding[]> {
    const file = imageFile(this.path);
    try {
      return await findingsOf(file);
    } finally {
      file.close();
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function findingsOf(bytes: DiskBytes): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  await vhdx.check(bytes, { add: (finding) => found.push(finding) });
  return found;
}

export const codes = (found: readonly Finding[]): readonly string[] =>
  found.map(({ code, severity }) => `${code} ${severity}`);

/** Makes a checksum right again, so that only what was changed under it can be found. */
export function resum(image: Buffer, at: number, length: number): void {
  image.writeUInt32LE(crc32cWithout(image.subarray(at, at + length), 4), at + 4);
}

export function bothTables(image: Buffer, change: (table: Buffer) => void): void {
  for (const at of [192 * KiB, 256 * KiB]) {
    change(image.subarray(at, at + 64 * KiB));
    resum(image, at, 64 * KiB);
  }
}
