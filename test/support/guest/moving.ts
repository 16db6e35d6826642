/** Migrations of real machines to other storage of their host, by the service as a program has it in its process. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { openMigrations, openService } from '../../../src/index.js';
import type { MigrationService, MigrationTold, MigrationView } from '../../../src/migrate/migration-service.js';
import type { VmDescription } from '../../../src/migrate/vm.js';
import type { BuiltGuest, DiskContent, Guest } from './noticing-guest.js';
import type { TestHost } from './qemu-host.js';

/** All that was told meanwhile comes with the answer. */
export async function withMigrations<T>(
  host: TestHost,
  work: (migrations: MigrationService, told: readonly MigrationTold[]) => Promise<T>,
): Promise<T> {
  const state = join(host.folder, 'state');
  const service = await openService({ state });
  const migrations = await openMigrations({ service, state });
  const stop = new AbortController();
  const told: MigrationTold[] = [];
  const listening = (async () => {
    for await (const one of migrations.events({ after: 0 }, stop.signal)) told.push(one);
  })();
  try {
    return await work(migrations, told);
  } finally {
    stop.abort();
    await listening;
    await migrations.close();
    await service.close();
  }
}

/** Folder of its images, of which each disk has some. */
export function folderOf({ disks }: VmDescription): string {
  return dirname(disks[0]?.chain[0]?.path ?? '');
}

/** Without what the guest said, which is no image. */
export function imagesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.endsWith('.log'))
    .sort();
}

/** Each disk has as many images as before, there and nowhere else, and the machine runs from them. */
export async function expectAt(host: TestHost, vm: VmDescription, folder: string): Promise<VmDescription> {
  const now = await host.vms.get(vm.id);
  expect(now).toMatchObject({ state: 'running', ownership: { state: 'here' } });
  const before = vm.disks.map(({ chain }) => chain.map(({ path }) => join(folder, path.split('/').at(-1) ?? '')));
  expect(now.vm.disks.map(({ chain }) => chain.map(({ path }) => path))).toEqual(before);
  expect(imagesIn(folder)).toEqual(
    before
      .flat()
      .map((path) => path.split('/').at(-1))
      .sort(),
  );
  return now.vm;
}

/**
 * The guest was started once, has gone on all the time, and met nothing that it had not written; and its disks, read
 * from outside once it is off, hold what it says.
 */
export async function expectNothingLost(
  host: TestHost,
  built: BuiltGuest,
  { vm, guest, boot }: { readonly vm: VmDescription; readonly guest: Guest; readonly boot: string },
): Promise<void> {
  await guest.goesOn();
  const inside = await guest.verify();
  const beats = guest.heartbeats;
  expect([...new Set(beats.map((beat) => beat.boot))]).toEqual([boot]);
  expect(beats.at(-1)).toMatchObject({ corrupt: 0, errors: 0 });
  const numbers = beats.map(({ seq }) => seq);
  expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
  await guest.switchOff();
  while ((await host.hypervisor.state(vm)) !== 'off') await systemClock.sleep(20);
  const told = ({ wrong, used, digest }: DiskContent) => ({ wrong, used, digest });
  expect(inside.map(({ wrong }) => wrong)).toEqual(vm.disks.map(() => 0));
  expect(host.scan(built, vm).map(told)).toEqual(inside.map(told));
}

export function expectDone(view: MigrationView): void {
  expect(view.error).toBeUndefined();
  expect(view).toMatchObject({ state: 'done', switchedOver: true });
}
