import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openMigrations } from '../../src/api/migrations.js';
import { openService } from '../../src/index.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';

const built = buildGuest();

test('a running machine moves to another folder, and its guest loses nothing', {
  timeout: 300_000,
}, async (context) => {
  if (typeof built === 'string') return context.skip(built);
  const host = new TestHost();
  const state = join(host.folder, 'state');
  const vm = await host.machine(built, [['qcow2', 'qcow2'], ['vhd-dynamic']]);
  const guest = host.guest(vm);
  const service = await openService({ state });
  const migrations = await openMigrations({ service, state });
  try {
    await host.hypervisor.start(vm);
    const first = await guest.reaches(100);
    const target = host.place('target');
    const { id } = await migrations.start({ vm: vm.id, paths: { folder: target } });
    const ended = await migrations.settled(id);
    expect(ended).toMatchObject({ state: 'done', switchedOver: true });
    expect(ended.blackoutMs).toBeGreaterThan(0);

    expect(await guest.goesOn()).toMatchObject({ boot: first.boot, corrupt: 0, errors: 0 });
    const inside = await guest.verify();
    const moved = await host.vms.get(vm.id);
    expect(moved).toMatchObject({ state: 'running', ownership: { state: 'here' } });
    const images = moved.vm.disks.flatMap(({ chain }) => chain.map(({ path }) => path));
    expect(images).toEqual(['d0-0.qcow2', 'd0-1.qcow2', 'd1-0.vhd-dynamic'].map((name) => join(target, name)));
    // The source has nothing but what the guest said, and the target nothing but the images.
    expect(readdirSync(host.place(vm.id))).toEqual(['console, of the guest.log']);
    expect(readdirSync(target).map((name) => join(target, name))).toEqual(images);
    await host.hypervisor.stop(moved.vm);
    const outside = host.scan(built, moved.vm);
    const told = inside.map(({ digest }) => ({ wrong: 0, digest }));
    expect(outside.map(({ wrong, digest }) => ({ wrong, digest }))).toEqual(told);
  } finally {
    await migrations.close();
    await service.close();
    await host.close();
  }
});
