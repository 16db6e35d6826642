import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { ImageFile, VmDescription } from '../../src/migrate/vm.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { type ChainFormats, TestHost } from '../support/guest/qemu-host.js';

const built = buildGuest();
const never = new AbortController().signal;

/** Of each disk the base that it began with. */
const bases = ({ disks }: VmDescription) => disks.map(({ id, chain }) => ({ disk: id, into: chain[0]?.path ?? '' }));
const overlays = (vm: VmDescription, name: string) =>
  vm.disks.map(({ id, chain }) => ({ disk: id, path: join(dirname(chain[0]?.path ?? ''), `${id}-${name}.qcow2`) }));

let host: TestHost;
beforeEach(() => {
  host = new TestHost();
});
afterEach(async () => {
  await host.close();
});

const cases: readonly (readonly [string, readonly ChainFormats[]])[] = [
  ['a raw and a VHDX disk', [['raw'], ['vhdx']]],
  ['a fixed and a dynamic VHD', [['vhd-fixed'], ['vhd-dynamic']]],
  ['a qcow2 disk with a snapshot already, and another', [['qcow2', 'qcow2'], ['qcow2']]],
];

describe.skipIf(typeof built === 'string')(`a guest goes on from its saved state and loses nothing`, () => {
  if (typeof built === 'string') return;
  test.each(cases)('on %s', { timeout: 300_000 }, async (_, chains) => {
    const { hypervisor } = host;
    const vm = await host.machine(built, chains);
    const guest = host.guest(vm);
    await hypervisor.start(vm);
    const first = await guest.reaches(100);

    const asked = overlays(vm, 'delta');
    const delta = await hypervisor.snapshot(vm, asked);
    expect(delta.disks.map(({ chain }) => chain.at(-1)?.path)).toEqual(asked.map(({ path }) => path));
    expect(await hypervisor.snapshot(vm, asked)).toEqual(delta);
    await guest.goesOn();
    // All disks stopped at one instant, and stand still.
    const frozen = host.scan(built, vm);
    expect(frozen.map(({ wrong }) => wrong)).toEqual(vm.disks.map(() => 0));
    expect(Math.abs((frozen[0]?.seq ?? 0) - (frozen[1]?.seq ?? 0))).toBeLessThanOrEqual(1);

    const path = join(host.place('saved'), 'state');
    const saved = await hypervisor.saveState(delta, path);
    expect(await hypervisor.state(delta)).toBe('saved');
    expect(await hypervisor.saveState(delta, path)).toEqual(saved);
    expect(host.scan(built, vm)).toEqual(frozen);
    await hypervisor.stop(delta);
    expect(await hypervisor.state(delta)).toBe('off');

    await hypervisor.start(delta, saved);
    expect(await hypervisor.state(delta)).toBe('paused');
    const last = guest.heartbeats.at(-1);
    await hypervisor.resume(delta);
    const beat = await guest.goesOn();
    expect(beat.boot).toBe(first.boot);
    expect(beat.seq).toBeGreaterThan(last?.seq ?? Number.NaN);

    const told: number[] = [];
    const merged = await hypervisor.merge(delta, bases(vm), ({ bytesDone }) => told.push(bytesDone), never);
    expect(merged.disks.map(({ chain }) => chain)).toEqual(vm.disks.map(({ chain }) => chain.slice(0, 1)));
    expect(told.length).toBeGreaterThan(0);
    expect(await hypervisor.state(merged)).toBe('running');
    expect(await hypervisor.merge(delta, bases(vm), () => undefined, never)).toEqual(merged);
    await guest.goesOn();

    const inside = await guest.verify();
    expect(inside.map(({ wrong }) => wrong)).toEqual(vm.disks.map(() => 0));
    expect(guest.heartbeats.at(-1)).toMatchObject({ corrupt: 0, errors: 0, boot: first.boot });
    // A guest that switches itself off is not lost.
    await guest.switchOff();
    while ((await hypervisor.state(merged)) !== 'off') await systemClock.sleep(20);
    expect(hypervisor.pid(vm.id)).toBeUndefined();
    expect(host.scan(built, merged).map(({ digest, wrong }) => ({ digest, wrong }))).toEqual(
      inside.map(({ digest, wrong }) => ({ digest, wrong })),
    );
    const left = merged.disks.map(({ chain }) => (chain[0] as ImageFile).path);
    expect(left.every((one) => existsSync(one))).toBe(true);
    expect(readdirSync(dirname(left[0] ?? '')).filter((name) => /^d\d/.test(name))).toHaveLength(left.length);
  });
});
