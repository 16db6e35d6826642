import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openMigrations } from '../../src/api/migrations.js';
import { systemClock } from '../../src/core/clock.js';
import { openService } from '../../src/index.js';
import { scratchFolder } from '../support/copying.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';
import { mounted } from '../support/mounts.js';

const built = buildGuest();

test('a guest that stands still because its storage is full moves away, and goes on at the target', {
  timeout: 300_000,
}, async (context) => {
  if (typeof built === 'string') return context.skip(built);
  const { folder, remount } = await mounted(context, 'tmpfs', 60);
  const [state, target] = [scratchFolder(), scratchFolder()];
  const host = new TestHost(state, folder);
  const service = await openService({ state });
  const migrations = await openMigrations({ service, state });
  try {
    const vm = await host.machine(built, [['qcow2']]);
    const guest = host.guest(vm);
    await host.hypervisor.start(vm);
    const { boot } = await guest.reaches(50);
    const { id } = await migrations.prepare({ vm: vm.id, paths: { folder: target } });
    expect(await migrations.settled(id)).toMatchObject({ state: 'prepared' });
    fill(join(folder, 'full'));
    while ((await host.hypervisor.state(vm)) !== 'io-error') await systemClock.sleep(20);
    await migrations.cutover(id);
    expect(await migrations.settled(id)).toMatchObject({ state: 'done' });
    expect(await host.vms.get(vm.id)).toMatchObject({ state: 'running' });
    expect(existsSync(join(target, 'd0-0.qcow2'))).toBe(true);
    // What it says is kept at the source, too.
    await remount('size=120m');
    expect(await guest.goesOn(20)).toMatchObject({ boot, corrupt: 0, errors: 0 });
    expect((await guest.verify()).map(({ wrong }) => wrong)).toEqual([0]);
  } finally {
    await migrations.close();
    await service.close();
    await host.close();
  }
});

/** To the last byte. */
function fill(path: string): void {
  writeFileSync(path, '');
  for (let bytes = 1024 * 1024; bytes >= 4096; bytes /= 2) {
    for (let room = true; room; ) {
      try {
        writeFileSync(path, Buffer.alloc(bytes, 1), { flag: 'a' });
      } catch {
        room = false;
      }
    }
  }
}
