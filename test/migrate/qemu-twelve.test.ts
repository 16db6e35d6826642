import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openMigrations } from '../../src/api/migrations.js';
import { openService } from '../../src/index.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';

const built = buildGuest();

test('of twelve guests that are moved at once ten are under way and two wait; each arrives with all its records', {
  timeout: 600_000,
}, async (context) => {
  if (typeof built === 'string') return context.skip(built);
  const host = new TestHost();
  const state = join(host.folder, 'state');
  const service = await openService({ state });
  const migrations = await openMigrations({ service, state });
  try {
    const guests = [];
    for (let number = 0; number < 12; number++) {
      const vm = await host.machine(built, [['qcow2']]);
      const guest = host.guest(vm);
      await host.hypervisor.start(vm);
      const { boot } = await guest.reaches(20);
      await guest.rest();
      guests.push({ vm, guest, boot, target: host.place(`target-${number}`) });
    }
    const begun = await Promise.all(
      guests.map(({ vm, target }) => migrations.start({ vm: vm.id, paths: { folder: target } })),
    );
    const waiting = begun.map(({ id }) => migrations.get(id)).filter(({ state: now }) => now === 'queued');
    expect(waiting).toHaveLength(2);
    expect(waiting[0]?.reason).toContain('10 may at once');
    for (const { id } of begun) {
      const { state: end, blackoutMs } = await migrations.settled(id);
      expect([id, end, (blackoutMs ?? 0) > 0]).toEqual([id, 'done', true]);
    }
    for (const { vm, guest, boot, target } of guests) {
      await guest.work();
      expect(await guest.goesOn(10)).toMatchObject({ boot, corrupt: 0, errors: 0 });
      expect((await guest.verify()).map(({ wrong }) => wrong)).toEqual([0]);
      const moved = await host.vms.get(vm.id);
      expect(moved.vm.disks.map(({ chain }) => chain.map(({ path }) => path))).toEqual([[join(target, 'd0-0.qcow2')]]);
    }
  } finally {
    await migrations.close();
    await service.close();
    await host.close();
  }
});
