/** The guest's content of disks, as an end of a copy: it promises what every end promises. */
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { diskLocation } from '../../src/disk/disk-location.js';
import { LAYOUT_KINDS } from '../../src/disk/layouts.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { realFiles } from '../../src/platform/file-layer.js';
import { diskScheme } from '../../src/transfer/disk-ends.js';
import { readLocation } from '../support/reading.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { sourceContract } from './source-contract.js';
import { size, targetContract } from './target-contract.js';

const scratch = mkdtempSync(join(tmpdir(), 'contract-disk-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SIZE = 700 * KiB + 512;
const newFolder = (): string => mkdtempSync(join(scratch, 'end-'));
const scheme = diskScheme({ file: () => localScheme(realFiles) });
const diskAt = (path: string) => diskLocation({ container: parseLocation(path) });

sourceContract('the content of a raw disk', async () => {
  const path = join(newFolder(), 'disk.raw');
  writeMixedFile(path, SIZE, new Seeded(21));
  const change = async (): Promise<void> => {
    writeFileSync(path, new Seeded(22).bytes(SIZE));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
  };
  return { scheme, location: diskAt(path), bytes: readFileSync(path), missing: diskAt(join(scratch, 'none')), change };
});

for (const layout of LAYOUT_KINDS) {
  targetContract(`a new disk laid out as ${layout}`, async () => {
    const path = join(newFolder(), 'new.disk');
    const location = diskLocation({ container: parseLocation(path), layout });
    // Formats that count in sectors round the size up.
    const read = async () =>
      existsSync(path) ? (await readLocation(scheme, diskAt(path))).subarray(0, size) : undefined;
    return { scheme, location, read };
  });
}
