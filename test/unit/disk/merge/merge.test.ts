import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../../../src/core/units.js';
import { checkChain } from '../../../../src/disk/check.js';
import { MergeRecord, mergeRecordPath } from '../../../../src/disk/merge-record.js';
import { roomNeeded } from '../../../../src/disk/merge-room.js';
import { setParent } from '../../../../src/disk/set-parent.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { type FileLayer, realFiles } from '../../../../src/platform/file-layer.js';
import { need7zz, needQemuImg } from '../../../support/disk-tools.js';
import { localOpener, makeChain, mergeInline, readThrough, type TestChain } from '../../../support/merge-chains.js';
import { Seeded } from '../../../support/seeded.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'merge-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const chainOf = (kind: 'vhd' | 'vhdx'): TestChain => makeChain(kind, folder, new Seeded(7), 2 * MiB);
const leftovers = (chain: TestChain): boolean => realFiles.lstat(mergeRecordPath(chain.child)) !== undefined;

/** Files whose nth call of that name fails, as if the process ended there. */
function failing(call: 'writeSync' | 'fdatasyncSync' | 'unlinkSync', nth: number): FileLayer {
  let count = 0;
  const guarded = (...args: never[]): unknown => {
    if (++count === nth) throw new Error('the process ended');
    return (realFiles[call] as (...args: never[]) => unknown)(...args);
  };
  return { ...realFiles, [call]: guarded };
}

const change = (child: string, parent: string, anyParent = false) =>
  setParent({ child: parseLocation(child), parent: parseLocation(parent), anyParent }, localOpener, realFiles);

test.for(['vhd', 'vhdx'] as const)(
  'a %s is pointed at its parent in a new place, and at no other disk',
  async (kind) => {
    const chain = chainOf(kind);
    const moved = at(`elsewhere.${kind}`);
    renameSync(chain.parent, moved);
    await expect(readThrough(chain.child)).rejects.toMatchObject({ code: 'E_DISK_PARENT' });
    expect(await change(chain.child, moved)).toMatchObject({ proven: true, parent: moved });
    expect((await readThrough(chain.child)).equals(chain.childContent)).toBe(true);
    const before = readFileSync(chain.top);
    // The image above has another identity than the one below.
    await expect(change(chain.top, moved)).rejects.toMatchObject({ code: 'E_DISK_PARENT' });
    await expect(change(chain.child, chain.top)).rejects.toMatchObject({ code: 'E_DISK_PARENT' });
    expect(readFileSync(chain.top).equals(before)).toBe(true);
    expect(await change(chain.top, moved, true)).toMatchObject({ proven: false });
  },
);

test.for(['vhd', 'vhdx'] as const)(
  'a %s whose parent something else wrote to since its merge began is refused',
  async (kind) => {
    const chain = chainOf(kind);
    const other = at('other');
    copyFileSync(chain.parent, other);
    await expect(mergeInline(chain.child, failing('unlinkSync', 1))).rejects.toThrow();
    expect(leftovers(chain)).toBe(true);
    // The record says that all is done; without that the parent's identity is looked at.
    const lines = readFileSync(mergeRecordPath(chain.child), 'utf8').split('\n');
    unlinkSync(mergeRecordPath(chain.child));
    const header = JSON.parse((lines[0] ?? '').slice('12345678 merge '.length));
    const { record } = MergeRecord.begin(realFiles, chain.child, { ...header, parentIdentity: 'what it was before' });
    record.close();
    await expect(mergeInline(chain.child, realFiles)).rejects.toMatchObject({ code: 'E_DISK_PARENT' });
  },
);

test('a child that goes while it is merged in part is missed, and its record stays', async () => {
  const chain = chainOf('vhd');
  await expect(mergeInline(chain.child, failing('writeSync', 8))).rejects.toThrow();
  renameSync(chain.child, at('away'));
  await expect(mergeInline(chain.child, realFiles)).rejects.toMatchObject({ code: 'E_SOURCE_MISSING' });
  renameSync(at('away'), chain.child);
  await mergeInline(chain.child, realFiles);
  expect((await readThrough(chain.top)).equals(chain.content)).toBe(true);
});

test('what an earlier run brought over is compared, and written again only where it differs', async () => {
  const chain = chainOf('vhd');
  await expect(mergeInline(chain.child, failing('unlinkSync', 1))).rejects.toThrow();
  const record = readFileSync(mergeRecordPath(chain.child), 'utf8');
  const kept = record.split('\n').filter((line) => !line.includes(' merged ') && line !== '');
  unlinkSync(mergeRecordPath(chain.child));
  execFileSync('sh', ['-c', 'umask 077; cat > "$1"', '-', mergeRecordPath(chain.child)], {
    input: `${kept.join('\n')}\n`,
  });
  const [merged] = await mergeInline(chain.child, realFiles);
  expect(merged).toMatchObject({ resumed: true, bytesWritten: 0 });
  expect(merged?.bytesFound).toBeGreaterThan(0);
  expect((await readThrough(chain.top)).equals(chain.content)).toBe(true);
});

test('an image is known by its file, whatever link leads to it', async () => {
  const chain = chainOf('vhdx');
  symlinkSync(chain.child, at('link'));
  await mergeInline(at('link'), realFiles);
  expect(realFiles.lstat(chain.child)).toBeUndefined();
  expect((await readThrough(chain.top)).equals(chain.content)).toBe(true);
});

test('disks of different sizes are refused by name, and only a raw parent grows', async (context) => {
  needQemuImg(context);
  const create = (name: string, size: string, parent?: string): void => {
    const base = parent ? ['-F', 'qcow2', '-b', parent] : [];
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...base, name, size], { cwd: folder });
  };
  create('base.qcow2', '4M');
  create('longer.qcow2', '8M', 'base.qcow2');
  await expect(mergeInline(at('longer.qcow2'), realFiles)).rejects.toThrow('a qcow2 parent cannot grow here');
  rmSync(at('longer.qcow2'));
  create('shorter.qcow2', '2M', 'base.qcow2');
  await expect(mergeInline(at('shorter.qcow2'), realFiles)).rejects.toThrow('the disk would become larger');
  expect(realFiles.lstat(mergeRecordPath(at('shorter.qcow2')))).toBeUndefined();
});

test('zeroes in a part of a compressed cluster are merged', async (context) => {
  needQemuImg(context);
  const run = (tool: string, ...args: readonly string[]): void =>
    void execFileSync(tool, args, { cwd: folder, stdio: 'pipe' });
  for (const version of ['compat=0.10', 'compat=1.1', 'compression_type=zstd']) {
    const [base, child] = [`base-${version}.qcow2`, `child-${version}.qcow2`];
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', version, base, '4M');
    run('qemu-io', '-f', 'qcow2', '-c', 'write -c -P 7 1M 256k', '-c', 'write -P 8 2M 128k', base);
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', '-F', 'qcow2', '-b', base, child);
    run('qemu-io', '-f', 'qcow2', '-c', 'write -z 1056k 4k', '-c', 'write -z 1152k 64k', '-c', 'write -z 2M 4k', child);
    const content = await readThrough(at(child));
    expect(content.subarray(1056 * 1024, 1060 * 1024).every((byte) => byte === 0)).toBe(true);
    await mergeInline(at(child), realFiles);
    expect((await readThrough(at(base))).equals(content)).toBe(true);
    run('qemu-img', 'check', '-q', '-f', 'qcow2', base);
  }
});

test('the room that a merge needs is that of blocks which the parent does not have', async () => {
  const size = 8 * MiB;
  const image = (kinds: string, blockBytes: number) => {
    const allocation = ({ offset, length }: { offset: number; length: number }) =>
      [...kinds.slice(offset / MiB, (offset + length) / MiB)].map((kind) => {
        return { kind: kind === 'd' ? ('data' as const) : ('absent' as const), length: MiB };
      });
    const about = { ref: { format: 'vhdx' as const }, format: 'vhdx' as const, kind: 'dynamic', size, blockBytes };
    return { ...about, runs: () => [], allocation };
  };
  expect(await roomNeeded(image('d..d..dd', MiB), image('d......d', MiB))).toBe(2 * MiB);
  expect(await roomNeeded(image('d..d..dd', MiB), image('........', 2 * MiB))).toBe(6 * MiB);
});

test.for([
  ['vhd', 'vpc'],
  ['vhdx', 'vhdx'],
  ['qcow2', 'qcow2'],
  ['qcow2 on raw', 'raw'],
] as const)('QEMU reads the base of a merged chain of %s as its guest did', async ([kind, format], context) => {
  needQemuImg(context);
  for (let seed = 0; seed < 4; seed++) {
    const chain = makeChain(kind, mkdtempSync(at(`${seed}-`)), new Seeded(seed), 3 * MiB);
    await mergeInline(chain.top, realFiles, 'base');
    const flat = at(`${seed}.raw`);
    execFileSync('qemu-img', ['convert', '-f', format, '-O', 'raw', chain.parent, flat]);
    expect(readFileSync(flat).equals(chain.content), `seed ${seed}`).toBe(true);
    if (format === 'vhdx' || format === 'qcow2') execFileSync('qemu-img', ['check', '-f', format, chain.parent]);
    expect(await findingsOf(chain.parent)).toEqual([]);
  }
});

test.for(['vhd', 'vhdx'] as const)(
  '7-Zip reads a %s whose parent was merged into its own as before',
  async (kind, context) => {
    need7zz(context);
    const chain = chainOf(kind);
    await mergeInline(chain.child, realFiles);
    execFileSync('7zz', ['x', `-t${kind}`, `-o${at('out')}`, chain.top, '-y'], { stdio: 'ignore' });
    const [name = ''] = readdirSync(at('out'));
    expect(readFileSync(join(at('out'), name)).equals(chain.content)).toBe(true);
  },
);

async function findingsOf(path: string): Promise<readonly unknown[]> {
  const { images } = await checkChain({ location: parseLocation(path) }, localOpener);
  return images.flatMap(({ findings }) => findings);
}
