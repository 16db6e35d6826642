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
import { qemuImg, qemuImgFound, qemuIo } from '../support/disks.js';
import { readLocation } from '../support/reading.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { type SourceUnderTest, sourceContract } from './source-contract.js';
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

/** A chain of two images by QEMU, or one image; `change` writes into the child. */
function madeByQemu(format: 'vpc' | 'vhdx' | 'qcow2'): () => Promise<SourceUnderTest | string> {
  return async () => {
    if (!qemuImgFound) return 'needs qemu-img (Debian: qemu-utils)';
    const folder = newFolder();
    const [raw, path] = [join(folder, 'disk.raw'), join(folder, `disk.${format}`)];
    writeMixedFile(raw, SIZE, new Seeded(23));
    const base = format === 'qcow2' ? join(folder, 'base.qcow2') : path;
    const options = format === 'vpc' ? ['-o', 'force_size=on'] : [];
    qemuImg('convert', '-f', 'raw', '-O', format, ...options, raw, base);
    if (base !== path) qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path);
    qemuIo(path, format, 'write -P 3 200k 64k', 'write -z 300k 64k');
    rmSync(raw);
    qemuImg('convert', '-f', format, '-O', 'raw', path, raw);
    const change = async (): Promise<void> => {
      qemuIo(path, format, 'write -P 4 100k 1k');
      utimesSync(path, 1_000_000_000, 1_000_000_000);
    };
    return { scheme, location: diskAt(path), bytes: readFileSync(raw), missing: diskAt(join(scratch, 'none')), change };
  };
}

sourceContract('the content of a dynamic VHD', madeByQemu('vpc'));
sourceContract('the content of a dynamic VHDX', madeByQemu('vhdx'));
sourceContract('the content of a chain of qcow2 images', madeByQemu('qcow2'));

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
