import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { Guests, MachineHost } from '../support/machine-hosts.js';
import { makeVm } from '../support/migrating.js';
import { twoHosts } from '../support/namespaces.js';

const FLAP_MS = 300;

test('over a cable that loses packets and comes out now and then a machine arrives whole', async (context) => {
  const hosts = twoHosts(context);
  hosts.limitRate(200);
  hosts.losePackets(1);
  const guests = new Guests();
  const address = hosts.serverAddress;
  const [here, there] = await Promise.all([
    MachineHost.start('here', guests, { prefix: hosts.client }),
    MachineHost.start('there', guests, { prefix: hosts.server, address }),
  ]);
  const vm = makeVm(join(here.root, 'web'), { disks: 2, baseBytes: 4 << 20 });
  await here.ask('add', vm);
  await here.onHost('start', vm.id);
  const to = here.knows(there, { token: there.token('mover', '--rights', 'vm,write'), address });
  const { id } = await here.migration('start', { vm: vm.id, to, paths: { folder: '/images/web' } });
  for (const step of ['copy-bases', 'copy-delta']) {
    await here.ask('reached', id, step, 'started');
    hosts.linkDown();
    await systemClock.sleep(FLAP_MS);
    hosts.linkUp();
  }
  expect(await here.migration('settled', id)).toMatchObject({ state: 'done' });
  expect(guests.all().map(({ state }) => state)).toEqual(['running']);
  expect(guests.on('there').get(vm.id)?.wrong()).toEqual([]);
});
