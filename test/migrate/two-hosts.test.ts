import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Guests, MachineHost } from '../support/machine-hosts.js';
import { filesIn, makeVm } from '../support/migrating.js';

async function twoHosts() {
  const guests = new Guests();
  const [here, there] = await Promise.all([MachineHost.start('here', guests), MachineHost.start('there', guests)]);
  const vm = makeVm(join(here.root, 'web'));
  await here.ask('add', vm);
  await here.onHost('start', vm.id);
  const to = here.knows(there, { token: there.token('mover', '--rights', 'vm,write') });
  return { guests, here, there, vm, to };
}

test('a machine moves to another host while it runs, and the source cannot start it any more', async () => {
  const { guests, here, there, vm, to } = await twoHosts();
  const bootId = guests.on('here').get(vm.id)?.bootId;
  const view = await here.move({ vm: vm.id, to, paths: { folder: '/images/web' } });
  expect(view).toMatchObject({ state: 'done', switchedOver: true });
  const guest = guests.on('there').get(vm.id);
  expect(guest).toMatchObject({ state: 'running', bootId });
  expect(guest?.wrong()).toEqual([]);
  expect(guests.on('here').size).toBe(0);
  expect(filesIn(join(there.root, 'web'))).toEqual(['web-d0.img', 'web-d1.img']);
  expect(filesIn(join(here.root, 'web'))).toEqual([]);
  expect((await there.get(vm.id)).vm.disks[0]?.chain).toEqual([
    { path: join(there.root, 'web', 'web-d0.img'), format: 'raw' },
  ]);
  expect((await here.get(vm.id)).ownership).toMatchObject({ state: 'gone', to });
  await expect(here.onHost('start', vm.id)).rejects.toMatchObject({ code: 'E_VM_STATE' });
});
