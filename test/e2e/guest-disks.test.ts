/**
 * Disks that a Linux guest writes to under QEMU, in every format at once: what is read of them is what the guest was
 * told to write, what it read itself at the end, and what qemu-img reads.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { withChain } from '../support/disk-chain.js';
import { contentDifference } from '../support/disk-content.js';
import { hasQemuImg } from '../support/disk-corpus.js';
import { qemuContent } from '../support/disk-oracle.js';
import type { Written } from '../support/disk-recipes.js';
import { type Guest, letterOf, prepareGuest, runGuest } from '../support/guest.js';
import { Seeded } from '../support/seeded.js';
import { SparseContent } from '../support/sparse-content.js';

const SIZE = 12 * MiB + 7 * 512;
const RECORDS = 40;
const GUEST_MS_MAX = 240_000;

interface Disk {
  readonly name: string;
  readonly format: Exclude<Written, 'raw'>;
  readonly options: string;
}

const disks: readonly Disk[] = [
  { name: 'dynamic VHD', format: 'vpc', options: 'force_size=on' },
  { name: 'fixed VHD', format: 'vpc', options: 'subformat=fixed,force_size=on' },
  { name: 'dynamic VHDX', format: 'vhdx', options: 'block_size=1M' },
  { name: 'fixed VHDX', format: 'vhdx', options: 'subformat=fixed,block_size=2M' },
  { name: 'qcow2 with subclusters', format: 'qcow2', options: 'extended_l2=on' },
  { name: 'qcow2 of version 2, small clusters', format: 'qcow2', options: 'compat=0.10,cluster_size=4k' },
];

/** A line that nothing else says, as often as it fits. */
const recordOf = (disk: number, record: number, bytes: number): Buffer =>
  Buffer.alloc(bytes, `disk ${letterOf(disk)}, record ${record}\n`);

interface Order {
  readonly disk: number;
  readonly record: number;
  readonly sector: number;
  readonly sectors: number;
}

/** Some overlap, so that the later one must win. */
function ordersOf(seeded: Seeded): readonly Order[] {
  return Array.from({ length: RECORDS * disks.length }, (_, index) => {
    const sectors = seeded.pick([1, 3, 8, 64, 300]);
    const sector = seeded.pick([0, SIZE / 512 - sectors, seeded.int(0, SIZE / 512 - sectors)]);
    return { disk: index % disks.length, record: index, sector, sectors };
  });
}

const SCRIPT = `
while read disk record sector sectors; do
  yes "disk $disk, record $record" | head -c $((sectors * 512)) |
    dd of=/dev/vd$disk bs=512 seek=$sector conv=notrunc,fsync 2>/dev/null || echo "FAILED $disk $record"
done </orders
sync
echo 3 >/proc/sys/vm/drop_caches
for disk in $(cat /disks); do echo "DIGEST $disk $(md5sum </dev/vd$disk)"; done
`;

let folder = '';
let guest: Guest | string = '';
let said = '';
const orders = ordersOf(new Seeded(5));
const fileOf = ({ format }: Disk, index: number): string => `${index}.${format === 'vpc' ? 'vhd' : format}`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-guest-'));
  guest = hasQemuImg
    ? prepareGuest(join(process.env.BLOCKFERRY_TEST_RUN ?? folder, 'guest'))
    : 'qemu-img is not installed';
  if (typeof guest === 'string') return;
  for (const [index, disk] of disks.entries()) {
    const create = ['create', '-q', '-f', disk.format, '-o', disk.options, fileOf(disk, index), `${SIZE}`];
    execFileSync('qemu-img', create, { cwd: folder });
  }
  const lines = orders.map(({ disk, record, sector, sectors }) => `${letterOf(disk)} ${record} ${sector} ${sectors}`);
  said = await runGuest(guest, {
    folder,
    disks: disks.map((disk, index) => ({ path: join(folder, fileOf(disk, index)), format: disk.format })),
    files: { orders: `${lines.join('\n')}\n`, disks: disks.map((_, index) => letterOf(index)).join(' ') },
    script: SCRIPT,
    msMax: GUEST_MS_MAX,
  });
}, GUEST_MS_MAX + 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.for(disks.map((disk, index) => ({ ...disk, index })))(
  'what a guest wrote to a $name is what is read of it',
  async (disk, context) => {
    if (typeof guest === 'string') context.skip(guest);
    const { index, format } = disk;
    expect(said).not.toMatch(/FAILED|killed/);
    const expected = Buffer.alloc(SIZE);
    for (const { disk: on, record, sector, sectors } of orders) {
      if (on === index) recordOf(on, record, sectors * 512).copy(expected, sector * 512);
    }
    const digest = new RegExp(`DIGEST ${letterOf(index)} ([0-9a-f]{32})`).exec(said)?.[1];
    expect(createHash('md5').update(expected).digest('hex'), 'what the guest read').toBe(digest);
    const content = SparseContent.of(SIZE, [{ offset: 0, bytes: expected }]);
    const path = fileOf(disk, index);
    const theirs = qemuContent({ folder, path, format }, SIZE, [{ offset: 0, length: SIZE }]);
    expect(theirs.slice({ offset: 0, length: SIZE }).equals(expected), 'what qemu-img reads').toBe(true);
    const link = { path: join(folder, path), format: format === 'vpc' ? 'vhd' : format, qemuFormat: format } as const;
    await withChain({ name: disk.name, links: [link], content }, async (chain) => {
      expect(await contentDifference(chain, content)).toBeUndefined();
    });
  },
);
