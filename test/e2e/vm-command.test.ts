/** `blockferry vm` through the real command line, of machines that are off. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Ended, MAIN, start, workFolder } from './command.js';

const MIB = 1024 * 1024;
const ID = '5f0c1a2b-7d31-4c06-9a55-b10cfe221900';

function run(folder: string, ...args: readonly string[]): Promise<Ended> {
  const state = `BLOCKFERRY_STATE=${join(folder, 'state')}`;
  return start(folder, ['env', state, process.execPath, MAIN, 'vm', ...args]).ended;
}

async function objects(folder: string, ...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { exitCode, out, err } = await run(folder, ...args, '--json');
  expect([exitCode, err]).toEqual([0, '']);
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A folder with a disk and the description of a machine that has it. */
async function described(): Promise<string> {
  const { folder } = await workFolder(MIB);
  const chain = [{ path: join(folder, 'disk.img'), format: 'raw' }];
  const vm = {
    ...{ schema: 1, id: ID, name: 'web', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
    ...{ memoryBytes: 64 * MIB, disks: [{ id: 'd0', sizeBytes: MIB, address: '0x4', chain }], networks: [] },
  };
  writeFileSync(join(folder, 'web.json'), JSON.stringify(vm));
  return folder;
}

test('a machine is added, looked at by its name or the beginning of its id, and removed', async () => {
  const folder = await described();
  const added = await run(folder, 'add', 'web.json');
  expect([added.exitCode, added.out]).toEqual([0, `${ID}\n`]);
  expect((await run(folder, 'list')).out).toContain('5f0c1a2b  web   off    64.0 MiB  1 (1.00 MiB)  here');
  const { out } = await run(folder, 'info', '5f0c');
  expect(out).toContain('web: off; here');
  expect(out).toContain(`${join(folder, 'disk.img')} (raw)`);
  const [object] = await objects(folder, 'info', 'web');
  expect(object).toMatchObject({ schema: 1, type: 'vm', state: 'off', vm: { id: ID }, ownership: { state: 'here' } });
  expect((await run(folder, 'add', 'web.json')).err).toContain(`this host has a machine ${ID} already: web`);
  expect((await run(folder, 'remove', 'web')).exitCode).toBe(0);
  expect((await run(folder, 'list')).err).toContain('no machine is known here');
  expect(readdirSync(folder)).toContain('disk.img');
});

test('a machine is exported, and imported where the export is or as a copy', async () => {
  const folder = await described();
  await run(folder, 'add', 'web.json');
  const { exitCode, out, err } = await run(folder, 'export', 'web', 'out');
  expect(exitCode).toBe(0);
  expect(out).toMatch(/out: 1 file, 1\.00 MiB, in /);
  expect(err).toContain('disk.img: 1.00 MiB, proven');
  const copied = await objects(folder, 'import', '--to', 'copy', '--new-id', '--name', 'two', 'out');
  expect(copied.map(({ type, state }) => [type, state])).toContainEqual(['file', 'done']);
  expect(copied.at(-1)).toMatchObject({ type: 'result', vm: { name: 'two' } });
  expect(readFileSync(join(folder, 'copy', 'd0-0.img'))).toEqual(readFileSync(join(folder, 'disk.img')));
  const again = await run(folder, 'import', '--in-place', 'out');
  expect([again.exitCode, again.err]).toEqual([2, expect.stringContaining(`has the machine ${ID} already: web`)]);
  await run(folder, 'remove', 'web');
  const placed = await run(folder, 'import', '--in-place', 'out');
  expect([placed.exitCode, placed.out]).toEqual([0, `${ID}\n`]);
  expect(placed.err).toContain('blockferry vm start 5f0c1a2b');
  expect((await run(folder, 'info', 'web')).out).toContain(join(folder, 'out', 'd0-0.img'));
});

test('the description alone is exported and imported', async () => {
  const folder = await described();
  await run(folder, 'add', 'web.json');
  expect((await run(folder, 'export', '--configuration', 'web', 'conf')).exitCode).toBe(0);
  expect(readdirSync(join(folder, 'conf'))).toEqual(['export.json']);
  await run(folder, 'remove', 'web');
  mkdirSync(join(folder, 'other'));
  const missing = await run(folder, 'import', '--to', 'other', 'conf');
  expect([missing.exitCode, missing.err]).toEqual([2, expect.stringContaining('other/disk.img is missing')]);
  expect((await run(folder, 'import', '--in-place', 'conf')).exitCode).toBe(0);
});

test.each<readonly [readonly string[], string]>([
  [['info', 'nobody'], 'there is no machine "nobody"'],
  [['add', 'nothing.json'], 'nothing.json cannot be read (ENOENT)'],
  [['add', 'disk.img'], 'disk.img describes no machine'],
  [['export', 'web', 'disk.img'], 'disk.img exists already'],
  [['export', '--configuration', '--flatten', 'web', 'out'], '--configuration exports no disk'],
  [['export', '--snapshot', '1', 'web', 'out'], 'web has no snapshot 1'],
  [['export', '--snapshot', '0', 'web', 'out'], '--snapshot: cannot use "0"'],
  [['import', 'out'], 'used where they are, or copied'],
  [['import', '--in-place', '--to', 'copy', 'out'], 'used where they are, or copied'],
  [['import', '--disk', 'd0', 'out'], '--disk: cannot use "d0"'],
  [['import', '--in-place', 'nowhere'], 'nowhere/export.json cannot be read (ENOENT)'],
  [['start', 'web', '--from', 'disk.img'], 'known by its file and its SHA-256'],
])('vm %s is refused with exit code 2, and changes nothing', async (args, message) => {
  const folder = await described();
  await run(folder, 'add', 'web.json');
  const before = readdirSync(folder).sort();
  const { exitCode, out, err } = await run(folder, ...args);
  expect([exitCode, out]).toEqual([2, '']);
  expect(err).toContain(message);
  expect(readdirSync(folder).sort()).toEqual(before);
});
