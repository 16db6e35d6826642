import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Guests, MachineHost } from '../support/machine-hosts.js';
import { filesIn, makeVm } from '../support/migrating.js';
import { TcpProxy } from '../support/tcp-proxy.js';

/** With a cable between them that the test owns. */
async function twoHosts(wish: { readonly off?: boolean } = {}) {
  const guests = new Guests();
  const [here, there] = await Promise.all([MachineHost.start('here', guests), MachineHost.start('there', guests)]);
  const cable = await TcpProxy.start(there.port);
  onTestFinished(() => cable.stop());
  const vm = makeVm(join(here.root, 'web'), { disks: 1 });
  await here.ask('add', vm);
  if (!wish.off) await here.onHost('start', vm.id);
  const token = there.token('mover', '--rights', 'vm,write');
  const to = here.knows(there, { token, port: cable.port });
  return { guests, here, there, cable, vm, request: { vm: vm.id, to, paths: { folder: '/images/web' } } };
}

function expectRuns(guests: Guests, host: string, id: string): void {
  expect(guests.all().map(({ state }) => state)).toEqual(['running']);
  expect(guests.on(host).get(id)?.wrong()).toEqual([]);
}

test.each(['placeholder', 'digest', 'startPlaceholder', 'take', 'merge'])(
  'the target is killed when it has carried out a call (%s), and the same call goes on with it',
  async (call) => {
    const { guests, here, there, request, vm } = await twoHosts();
    await there.kill();
    await there.start(call);
    const { id } = await here.migration('start', request);
    await there.died();
    await there.start();
    const view = await here.migration('settled', id);
    expect(view).toMatchObject({ state: 'done' });
    expectRuns(guests, 'there', vm.id);
    expect(filesIn(join(there.root, 'web'))).toEqual(['web-d0.img']);
  },
);

test('a machine that is off is taken once, also when the answer was lost', async () => {
  const { guests, here, there, request, vm } = await twoHosts({ off: true });
  await there.kill();
  await there.start('take');
  const { id } = await here.migration('start', request);
  await there.died();
  await there.start();
  expect(await here.migration('settled', id)).toMatchObject({ state: 'done' });
  expect(await there.get(vm.id)).toMatchObject({ state: 'off', ownership: { state: 'here' } });
  expect(await here.get(vm.id)).toMatchObject({ state: 'off', ownership: { state: 'gone' } });
  expect(guests.all()).toEqual([]);
});

test('the cable is out before the switch-over: the machine goes on at the source, and arrives later', async () => {
  const { guests, here, there, cable, request, vm } = await twoHosts();
  const { id } = await here.migration('prepare', request);
  expect(await here.migration('settled', id)).toMatchObject({ state: 'prepared' });
  cable.down();
  await here.migration('cutover', id);
  const view = await here.migration('settled', id);
  expect(view).toMatchObject({ state: 'failed', switchedOver: false });
  expectRuns(guests, 'here', vm.id);
  await expect(there.onHost('start', vm.id)).rejects.toThrow(/only the migration/);
  cable.up();
  await here.migration('cutover', id);
  expect(await here.migration('settled', id)).toMatchObject({ state: 'done' });
  expectRuns(guests, 'there', vm.id);
});

test('while the hosts cannot talk after the switch-over neither starts the machine, and both say why', async () => {
  const { guests, here, there, cable, request, vm } = await twoHosts();
  const { id } = await here.migration('start', request);
  await here.ask('reached', id, 'switch-over', 'done');
  cable.down();
  const source = (await here.get(vm.id)).ownership;
  expect(source).toEqual({ state: 'gone', migration: id, to: request.to });
  await expect(here.onHost('start', vm.id)).rejects.toThrow(`it belongs to ${request.to} since the migration ${id}`);
  await expect(here.migration('abort', id)).rejects.toMatchObject({ code: 'E_MIGRATION_STATE' });
  if ((await there.get(vm.id)).ownership.state === 'placeholder') {
    await expect(there.onHost('start', vm.id)).rejects.toThrow(`only the migration ${id} may start it here`);
  }
  cable.up();
  await here.migration('settled', id);
  expectRuns(guests, 'there', vm.id);
});

test('connections that break all the time slow a migration down, and no more', async () => {
  const { guests, here, there, cable, request, vm } = await twoHosts();
  cable.rules = { resetShare: 1, resetBytesMax: 12_000, seed: 7 };
  let view = await here.move(request);
  // A machine that stands still does not wait for a link: it runs on, and is asked to go again.
  for (let tries = 0; view.state === 'failed' && tries < 20; tries++) {
    await here.migration('cutover', view.id);
    view = await here.migration('settled', view.id);
  }
  expect(view).toMatchObject({ state: 'done' });
  expect(cable.resets).toBeGreaterThan(0);
  expectRuns(guests, 'there', vm.id);
  expect(filesIn(join(there.root, 'web'))).toEqual(['web-d0.img']);
});

test('the source is killed in the middle, and goes on with its migration', async () => {
  const { guests, here, there, request, vm } = await twoHosts();
  const { id } = await here.migration('start', request);
  await here.ask('reached', id, 'copy-delta', 'started');
  await here.kill();
  await here.start();
  expect(await here.migration('settled', id)).toMatchObject({ state: 'done' });
  expectRuns(guests, 'there', vm.id);
  expect(filesIn(join(there.root, 'web'))).toEqual(['web-d0.img']);
});

test('an abort leaves nothing at the other host', async () => {
  const { guests, here, there, request, vm } = await twoHosts();
  const { id } = await here.migration('prepare', request);
  await here.migration('settled', id);
  expect(existsSync(join(there.root, 'web', 'web-d0.img'))).toBe(true);
  expect(await there.get(vm.id)).toMatchObject({ state: 'off', ownership: { state: 'placeholder', migration: id } });
  await here.migration('abort', id);
  expect(filesIn(join(there.root, 'web'))).toEqual([]);
  await expect(there.get(vm.id)).rejects.toMatchObject({ code: 'E_NO_VM' });
  expectRuns(guests, 'here', vm.id);
});

test('a machine that belongs to both hosts is moved to neither', async () => {
  const { guests, here, there, request, vm } = await twoHosts();
  await there.ask('add', vm);
  const view = await here.move(request);
  expect(view).toMatchObject({ state: 'failed', switchedOver: false });
  expect(view.reason).toMatch(/belongs to that host already/);
  expectRuns(guests, 'here', vm.id);
});

test('a machine moves there and back', async () => {
  const { guests, here, there, request, vm } = await twoHosts();
  expect(await here.move(request)).toMatchObject({ state: 'done' });
  const to = there.knows(here, { token: here.token('mover', '--rights', 'vm,write') });
  const back = await there.move({ vm: vm.id, to, paths: { folder: '/images/again' } });
  expect(back).toMatchObject({ state: 'done' });
  expectRuns(guests, 'here', vm.id);
  expect(await there.get(vm.id)).toMatchObject({ ownership: { state: 'gone', to } });
  await expect(there.onHost('start', vm.id)).rejects.toMatchObject({ code: 'E_VM_STATE' });
});
