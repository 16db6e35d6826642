import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { MigrationView } from '../../src/migrate/migration-service.js';
import { expectRuns, filesIn, gate, makeVm, scene } from '../support/migrating.js';

test('of twelve migrations at once ten are carried out and two wait, and are told why; all arrive', async () => {
  const at = await scene({ disks: 1 });
  const vms = Array.from({ length: 12 }, (_, number) =>
    makeVm(join(at.source, `vm${number}`), { disks: 1, name: `vm${number}`, baseBytes: 40_000 }),
  );
  for (const vm of vms) at.world.host('local').add(vm, true);
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  at.world.host('other').check = async () => {
    await released;
    return [];
  };
  const ids: string[] = [];
  for (const [number, vm] of vms.entries()) {
    const folder = join(at.target, `vm${number}`);
    ids.push((await at.migrations.start({ vm: vm.id, to: 'other', paths: { folder } })).id);
  }
  const views = ids.map((id) => at.migrations.get(id));
  expect(views.map(({ state }) => state)).toEqual([...Array(10).fill('running'), 'queued', 'queued']);
  expect(views.slice(10).map(({ reason }) => reason)).toEqual([
    '10 migrations run, and 10 may at once (migrations_at_once); it is the next',
    '10 migrations run, and 10 may at once (migrations_at_once); 1 are before it',
  ]);
  release();
  const ends: MigrationView[] = [];
  for (const id of ids) ends.push(await at.migrations.settled(id));
  expect(ends.map(({ state, reason }) => [state, reason])).toEqual(
    vms.map(({ name }) => ['done', `${name} is at the target`]),
  );
  for (const [number, vm] of vms.entries()) {
    expectRuns({ world: at.world, vm }, 'other');
    expect(filesIn(join(at.source, `vm${number}`))).toEqual([]);
  }
});

test('one that waits can be aborted, and leaves nothing', async () => {
  const at = await scene({ disks: 1, policy: { migrationsAtOnce: 1 } });
  const other = makeVm(join(at.source, 'other'), { disks: 1, name: 'db' });
  at.world.host('local').add(other, true);
  const held = gate(at.world.host('local'), 'check');
  const first = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await held.reached;
  const second = await at.migrations.start({ vm: other.id, paths: { folder: join(at.target, 'db') } });
  expect(second.state).toBe('queued');
  expect(await at.migrations.abort(second.id)).toMatchObject({ state: 'aborted' });
  held.release();
  expect(await at.migrations.settled(first.id)).toMatchObject({ state: 'done' });
  expect(filesIn(join(at.target, 'db'))).toEqual([]);
});
