/**
 * A machine that runs moves to other storage of its host, and its guest notices nothing but a short pause. A few
 * migrations cover every format, chains and several disks; BLOCKFERRY_MATRIX=full makes every pairing.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyReceipt } from '../../src/migrate/receipt.js';
import { STEPS } from '../../src/migrate/steps.js';
import type { DiskFormat } from '../../src/migrate/vm.js';
import {
  expectAt,
  expectDone,
  expectNothingLost,
  folderOf,
  imagesIn,
  withMigrations,
} from '../support/guest/moving.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { type ChainFormats, TestHost } from '../support/guest/qemu-host.js';

const built = buildGuest();
const sha256Of = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const FORMATS: readonly DiskFormat[] = ['raw', 'vhd-fixed', 'vhd-dynamic', 'vhdx', 'qcow2'];

interface Case {
  readonly chains: readonly ChainFormats[];
  readonly keepSource: boolean;
}

const few: readonly Case[] = [
  {
    chains: [
      ['raw', 'qcow2'],
      ['vhd-dynamic', 'qcow2'],
    ],
    keepSource: false,
  },
  { chains: [['vhd-fixed'], ['vhdx']], keepSource: false },
  { chains: [['qcow2', 'qcow2', 'qcow2']], keepSource: true },
];

/** Every format alone and with every other, with snapshots and without; every other one keeps its source. */
function every(): Case[] {
  const sets = FORMATS.flatMap((one, at) => [[one], ...FORMATS.slice(at).map((other) => [one, other])]);
  return [false, true].flatMap((chained) =>
    sets.map((formats, at) => ({
      chains: formats.map((format): ChainFormats => (chained ? [format, 'qcow2'] : [format])),
      keepSource: at % 2 === 1,
    })),
  );
}

const cases = process.env.BLOCKFERRY_MATRIX === 'full' ? every() : few;
const named = cases.map(({ chains, keepSource }) => {
  const disks = chains.map((chain) => chain.join(' < ')).join(' and ');
  return [`${disks}${keepSource ? ', and its source is kept' : ''}`, { chains, keepSource }] as const;
});

let host: TestHost;
beforeEach(() => {
  host = new TestHost();
});
afterEach(async () => {
  await host.close();
});

describe.skipIf(typeof built === 'string')('a running machine moves to other storage', () => {
  if (typeof built === 'string') return;
  test.each(named)('with disks of %s', { timeout: 300_000 }, async (_, { chains, keepSource }) => {
    const vm = await host.machine(built, chains);
    const source = folderOf(vm);
    const target = join(host.folder, 'fast storage');
    const guest = host.guest(vm);
    await host.hypervisor.start(vm);
    const { boot } = await guest.reaches(100);

    const { view, receipt } = await withMigrations(host, async (migrations) => {
      const { id } = await migrations.start({ vm: vm.id, paths: { folder: target }, keepSource });
      return { view: await migrations.settled(id), receipt: migrations.receipt(id) };
    });
    expectDone(view);
    const now = await expectAt(host, vm, target);
    expect(view.stepsDone).toEqual(STEPS);
    await expectNothingLost(host, built, { vm: now, guest, boot });

    const { files, blackout } = verifyReceipt(receipt);
    expect(blackout?.measuredMs).toBe(view.blackoutMs);
    const copied = chains.flat().length + chains.length + 1;
    expect(files).toHaveLength(copied);
    const kept = files.map(({ source: path }) => path.split('/').at(-1)).sort();
    expect(imagesIn(source)).toEqual(keepSource ? kept : []);
    // What is kept is what was copied, to the byte.
    for (const { source: path, sha256 } of keepSource ? files : []) expect(sha256Of(path)).toBe(sha256);
  });
});
