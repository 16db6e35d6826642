import { randomUUID } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import type { VmDescription } from '../../src/migrate/vm.js';
import { Guests, MachineHost } from '../support/machine-hosts.js';
import { makeVm } from '../support/migrating.js';
import { rawCall } from '../support/peer-client.js';

const migration = randomUUID();
let host: MachineHost;
let token: string;
let guests: Guests;

beforeEach(async () => {
  guests = new Guests();
  host = await MachineHost.start('there', guests);
  token = host.token('mover', '--rights', 'vm,write');
});

const call = (name: string, message: unknown, as = token) => rawCall({ port: host.port, token: as }, name, message);

/** A machine with its images there, as another host names them. */
function coming(change: (vm: VmDescription) => object = () => ({})): string {
  const vm = makeVm(join(host.root, 'new'), { disks: 1 });
  const disks = vm.disks.map((disk) => ({ ...disk, chain: [{ path: '/images/new/web-d0.img', format: 'raw' }] }));
  return JSON.stringify({ ...vm, disks, ...change(vm) });
}

test('machines are brought by a token with the right vm, and by no other', async () => {
  const writer = host.token('writer', '--rights', 'read,write');
  for (const [name, message] of [
    ['vm-facts', {}],
    ['vm-list', {}],
    ['vm-placeholder', { vm: coming(), migration }],
    ['vm-start', { vm: coming(), migration }],
    ['vm-take', { id: migration, migration }],
    ['vm-remove-file', { path: '/images/new/web-d0.img' }],
  ] as const) {
    const { status, answer } = await call(name, message, writer);
    expect([name, status, answer.error.code]).toEqual([name, 401, 'E_AUTH']);
    expect(answer.error.hint).toContain('--rights vm,write');
  }
  expect(await call('vm-facts', {})).toMatchObject({ status: 200, answer: { hypervisor: 'fake 1' } });
  expect((await call('vm-list', {})).answer).toEqual({ ids: [] });
});

test('files of a machine are in roots that the token may write to', async () => {
  const elsewhere = host.token('elsewhere', '--rights', 'vm,write', '--root', 'other');
  const runner = host.token('runner', '--rights', 'vm');
  for (const as of [elsewhere, runner]) {
    expect((await call('vm-placeholder', { vm: coming(), migration }, as)).answer.error.code).toBe('E_AUTH');
    expect((await call('vm-file', { path: '/images/new/web-d0.img' }, as)).answer.error.code).toBe('E_AUTH');
  }
  expect((await call('vm-placeholder', { vm: coming(), migration })).status).toBe(200);
  const { ids } = (await call('vm-list', {})).answer;
  expect(ids).toHaveLength(1);
  expect((await call('vm-list', {}, elsewhere)).answer).toEqual({ ids: [] });
  for (const name of ['vm-take', 'vm-remove-placeholder']) {
    expect((await call(name, { id: ids[0], migration }, elsewhere)).answer.error.code).toBe('E_NO_VM');
  }
});

const ASTRAY = [
  '/images/../../etc/passwd',
  '/images/./new/web-d0.img',
  '/images//new/web-d0.img',
  '/images/link/passwd',
  '/images/file-link',
  '/images/new',
  '/images',
  '/images/.web-d0.img.blockferry-part',
  '/other/web-d0.img',
  '/etc/passwd',
  'images/new/web-d0.img',
  '//images/new/web-d0.img',
];

test('no path leaves the roots, follows a link, or is no file', async () => {
  mkdirSync(join(host.root, 'new'), { recursive: true });
  symlinkSync('/etc', join(host.root, 'link'));
  symlinkSync('/etc/passwd', join(host.root, 'file-link'));
  const asked = ASTRAY.flatMap(
    (path) =>
      [
        ['vm-file', { path }],
        ['vm-file-digest', { path, whole: true }],
        ['vm-remove-file', { path }],
        ['vm-repoint', { image: path, parent: path }],
        ['vm-start', { vm: coming(), migration, from: { path, bytes: 1, sha256: '0'.repeat(64) } }],
        [
          'vm-placeholder',
          { vm: coming(({ disks }) => ({ disks: [{ ...disks[0], chain: [{ path, format: 'raw' }] }] })), migration },
        ],
        ['vm-placeholder', { vm: coming(() => ({ kernel: { image: path, append: '' } })), migration }],
        ['vm-placeholder', { vm: coming(() => ({ consoleLog: path })), migration }],
      ] as const,
  );
  for (const [name, message] of asked) {
    const { status, answer } = await call(name, message);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(['E_USAGE', 'E_AUTH', 'E_PROTOCOL']).toContain(answer.error.code);
    expect(JSON.stringify(answer)).not.toContain(host.root);
  }
  expect((await call('vm-list', {})).answer).toEqual({ ids: [] });
  expect(guests.all()).toEqual([]);
});

const HOSTILE = [
  ['an unknown field', { run: 'rm' }],
  ['an accelerator with options', { accelerator: 'tcg,dump-guest-core=on' }],
  ['a machine with options', { machine: 'pc-i440fx-7.2,accel=kvm' }],
  ['a CPU with options', { cpu: 'qemu64,-x' }],
  ['no disks that are disks', { disks: [{ id: 'd0' }] }],
  ['a name with a line of its own', { name: 'web\n-drive' }],
  ['an id that is a path', { id: '../../../x' }],
  ['more memory than there is', { memoryBytes: Number.MAX_SAFE_INTEGER }],
] as const;

test('a description that is not one is refused before anything is done', async () => {
  for (const name of ['vm-placeholder', 'vm-start', 'vm-check']) {
    const more = name === 'vm-check' ? { folders: [], bytes: 0 } : { migration };
    for (const [what, change] of HOSTILE) {
      const { answer } = await call(name, { vm: coming(() => change), ...more });
      expect([what, answer.error?.code]).toEqual([what, 'E_USAGE']);
    }
  }
  expect((await call('vm-placeholder', { vm: 'no JSON', migration })).answer.error.code).toBe('E_USAGE');
  expect((await call('vm-placeholder', { vm: coming() })).answer.error.code).toBe('E_PROTOCOL');
  expect(guests.all()).toEqual([]);
});

test('the machines of a host and their images are left alone', async () => {
  const vm = makeVm(join(host.root, 'own'), { name: 'own', disks: 1 });
  await host.ask('add', vm);
  await host.onHost('start', vm.id);
  const image = '/images/own/own-d0.img';
  const same = JSON.stringify({ ...vm, disks: [{ ...vm.disks[0], chain: [{ path: image, format: 'raw' }] }] });
  const thief = JSON.stringify({ ...JSON.parse(same), id: randomUUID() });
  for (const [name, message, code] of [
    ['vm-placeholder', { vm: same, migration }, 'E_VM_EXISTS'],
    ['vm-start', { vm: same, migration }, 'E_VM_EXISTS'],
    ['vm-placeholder', { vm: thief, migration }, 'E_LOCKED'],
    ['vm-remove-file', { path: image }, 'E_LOCKED'],
    ['vm-repoint', { image, parent: image }, 'E_LOCKED'],
    ['vm-merge', { vm: same, into: [['d0', image]] }, 'E_VM_STATE'],
  ] as const) {
    expect([name, (await call(name, message)).answer.error.code]).toEqual([name, code]);
  }
  await call('vm-remove-placeholder', { id: vm.id, migration });
  await call('vm-take', { id: vm.id, migration });
  expect(await host.get(vm.id)).toMatchObject({ vm, state: 'running', ownership: { state: 'here' } });
  expect(guests.on('there').get(vm.id)?.wrong()).toEqual([]);
});

test('a placeholder is started by its migration alone, and from the state that was proven', async () => {
  const vm = coming();
  const { id } = JSON.parse(vm);
  const path = join(host.root, 'new', 'state');
  writeFileSync(path, 'not what was saved');
  expect((await call('vm-placeholder', { vm, migration })).status).toBe(200);
  const other = await call('vm-start', { vm, migration: randomUUID() });
  expect(other.answer.error.code).toBe('E_VM_STATE');
  const from = { path: '/images/new/state', bytes: 18, sha256: '0'.repeat(64) };
  expect((await call('vm-start', { vm, migration, from })).answer.error.code).toBe('E_INTEGRITY');
  expect(guests.all()).toEqual([]);
  expect(await host.get(id)).toMatchObject({ state: 'off', ownership: { state: 'placeholder', migration } });
});
