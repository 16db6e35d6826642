/** Exports and imports of machines that are off: real images, the real engine, and no hypervisor. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, type TestContext, test } from 'vitest';
import { openMachines } from '../../src/index.js';
import { MANIFEST } from '../../src/migrate/export-manifest.js';
import { needQemuImg, runTool } from '../support/disk-tools.js';
import { type ExportScene, exportScene, ID, MIB } from '../support/exporting.js';

let scene: ExportScene;
beforeEach(async () => {
  scene = await exportScene();
});
afterEach(() => scene.close());

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

test('an export names each file with its size and its SHA-256, and is for its user alone', async () => {
  const { disks } = await scene.machine();
  const { manifest } = await scene.exported();
  expect(readdirSync(scene.at('out')).sort()).toEqual(['d0-0.img', 'd1-0.img', MANIFEST]);
  for (const { name, bytes, sha256: digest, disk } of manifest.files) {
    expect([bytes, digest]).toEqual([2 * MIB, sha256(scene.at('out', name))]);
    const source = disks.find(({ id }) => id === disk)?.chain[0]?.path ?? '';
    expect(readFileSync(scene.at('out', name))).toEqual(readFileSync(source));
  }
  expect(manifest).toMatchObject({ schema: 1, kind: 'blockferry-export', content: 'data', state: 'off' });
  expect(readdirSync(scene.at()).sort()).toEqual(['out', 'state', 'vms']);
});

test('an import in place uses the files where they are', async () => {
  const vm = await scene.machine();
  await scene.exported();
  await scene.machines.host.remove(ID);
  const { vm: imported } = await scene.machines.importVm({ folder: scene.at('out') });
  expect(imported).toEqual({
    ...vm,
    disks: vm.disks.map((disk) => ({ ...disk, chain: [{ path: scene.at('out', `${disk.id}-0.img`), format: 'raw' }] })),
  });
  expect((await scene.machines.host.get(ID)).vm).toEqual(imported);
});

test('an import as a copy leaves the export good for another one, and each has an id of its own', async () => {
  await scene.machine({ consoleLog: scene.at('vms', 'console.log') });
  await scene.exported();
  const before = readdirSync(scene.at('out')).map((name) => sha256(scene.at('out', name)));
  const first = await scene.machines.importVm({
    folder: scene.at('out'),
    to: { folder: scene.at('one') },
    id: 'new',
    name: 'one',
  });
  const second = await scene.machines.importVm({
    folder: scene.at('out'),
    to: { folder: scene.at('two'), disks: { d1: scene.at('fast') } },
    id: 'new',
  });
  expect(new Set([ID, first.vm.id, second.vm.id]).size).toBe(3);
  expect([first.vm.name, second.vm.name]).toEqual(['one', 'web']);
  expect(second.vm.disks.map(({ chain }) => chain[0]?.path)).toEqual([
    scene.at('two', 'd0-0.img'),
    scene.at('fast', 'd1-0.img'),
  ]);
  expect(first.vm.consoleLog).toContain(scene.at('one'));
  expect(first.vm.consoleLog).not.toBe(second.vm.consoleLog);
  expect(sha256(scene.at('fast', 'd1-0.img'))).toBe(sha256(scene.at('vms', 'd1.img')));
  expect(readdirSync(scene.at('out')).map((name) => sha256(scene.at('out', name)))).toEqual(before);
});

test('the kernel that a machine starts goes with it', async () => {
  writeFileSync(scene.at('vmlinuz'), 'a kernel');
  writeFileSync(scene.at('initrd'), 'its first files');
  await scene.machine({ kernel: { image: scene.at('vmlinuz'), initrd: scene.at('initrd'), append: 'quiet' } });
  await scene.exported();
  const { vm } = await scene.machines.importVm({ folder: scene.at('out'), to: { folder: scene.at('new') }, id: 'new' });
  expect(vm.kernel?.append).toBe('quiet');
  expect(readFileSync(vm.kernel?.image ?? '', 'utf8')).toBe('a kernel');
  expect(readFileSync(vm.kernel?.initrd ?? '', 'utf8')).toBe('its first files');
});

test('of a configuration alone the images are where they were, or where it is said', async () => {
  const vm = await scene.machine();
  await scene.machines.exportVm({ vm: ID, folder: scene.at('conf'), what: 'configuration' });
  expect(readdirSync(scene.at('conf'))).toEqual([MANIFEST]);
  await scene.refused('E_VM_EXISTS', /d0\.img belongs to the machine web/, () =>
    scene.machines.importVm({ folder: scene.at('conf'), id: 'new' }),
  );
  await scene.machines.host.remove(ID);
  expect((await scene.machines.importVm({ folder: scene.at('conf') })).vm).toEqual(vm);
  await scene.machines.host.remove(ID);
  renameSync(scene.at('vms'), scene.at('moved'));
  await scene.refused('E_SOURCE_MISSING', /vms\/d0\.img is missing/, () =>
    scene.machines.importVm({ folder: scene.at('conf') }),
  );
  const { vm: moved } = await scene.machines.importVm({ folder: scene.at('conf'), to: { folder: scene.at('moved') } });
  expect(moved.disks.map(({ chain }) => chain[0]?.path)).toEqual([
    scene.at('moved', 'd0.img'),
    scene.at('moved', 'd1.img'),
  ]);
});

describe('of a disk with a snapshot', () => {
  async function chained(context: TestContext): Promise<void> {
    needQemuImg(context);
    mkdirSync(scene.at('base'));
    mkdirSync(scene.at('top'));
    writeFileSync(scene.at('base', 'd0.img'), Buffer.alloc(2 * MIB, 'before the snapshot '));
    const overlay = scene.at('top', 'd0.qcow2');
    runTool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', '../base/d0.img', overlay]);
    runTool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x41 1M 4k', overlay]);
    const chain = [
      { path: scene.at('base', 'd0.img'), format: 'raw' },
      { path: overlay, format: 'qcow2' },
    ] as const;
    await scene.machine({ disks: [{ id: 'd0', sizeBytes: 2 * MIB, address: '0x4', chain }] });
  }

  function content(path: string): Buffer {
    const raw = scene.at('content.raw');
    runTool('qemu-img', ['convert', '-O', 'raw', path, raw]);
    return readFileSync(raw);
  }

  test('the chain is exported so that it stands on its own', async (context) => {
    await chained(context);
    const whole = content(scene.at('top', 'd0.qcow2'));
    await scene.exported();
    rmSync(scene.at('base'), { recursive: true });
    rmSync(scene.at('top'), { recursive: true });
    renameSync(scene.at('out'), scene.at('elsewhere'));
    expect(content(scene.at('elsewhere', 'd0-1.qcow2'))).toEqual(whole);
    const { vm } = await scene.machines.importVm({
      folder: scene.at('elsewhere'),
      to: { folder: scene.at('new') },
      id: 'new',
    });
    rmSync(scene.at('elsewhere'), { recursive: true });
    expect(content(vm.disks[0]?.chain[1]?.path ?? '')).toEqual(whole);
  });

  test('the snapshot is exported without what was written since', async (context) => {
    await chained(context);
    await scene.machines.exportVm({ vm: ID, folder: scene.at('snap'), what: 1 });
    expect(readdirSync(scene.at('snap'))).toEqual(['d0-0.img', MANIFEST]);
    expect(readFileSync(scene.at('snap', 'd0-0.img'))).toEqual(readFileSync(scene.at('base', 'd0.img')));
    await scene.refused('E_USAGE', /no snapshot 2: it has the snapshots 1 to 1/, () =>
      scene.machines.exportVm({ vm: ID, folder: scene.at('none'), what: 2 }),
    );
  });

  test('a chain can become one image', async (context) => {
    await chained(context);
    const whole = content(scene.at('top', 'd0.qcow2'));
    const { manifest } = await scene.machines.exportVm({
      vm: ID,
      folder: scene.at('flat'),
      what: 'data',
      flatten: true,
    });
    expect(readFileSync(scene.at('flat', 'd0-0.img'))).toEqual(whole);
    expect(manifest.vm.disks[0]?.chain.map(({ format }) => format)).toEqual(['raw']);
    const { vm } = await scene.machines.importVm({ folder: scene.at('flat'), id: 'new' });
    expect(vm.disks[0]?.chain).toEqual([{ path: scene.at('flat', 'd0-0.img'), format: 'raw' }]);
  });
});

test('an export that fails leaves nothing, and replaces nothing', async () => {
  await scene.machine();
  rmSync(scene.at('vms', 'd1.img'));
  await scene.refused('E_SOURCE_MISSING', /d1\.img/, () => scene.exported());
  writeFileSync(scene.at('taken'), 'mine');
  await scene.refused('E_TARGET_EXISTS', /taken exists already/, () => scene.exported('taken'));
  await scene.refused('E_TARGET_FOLDER', /nowhere is missing/, () => scene.exported('nowhere/out'));
  expect(readFileSync(scene.at('taken'), 'utf8')).toBe('mine');
});

test('what an interrupted export has left is no hindrance', async () => {
  await scene.machine();
  const staging = scene.at(`.out.${ID.slice(0, 8)}.blockferry-export`);
  mkdirSync(staging);
  writeFileSync(join(staging, 'd0-0.img'), 'half');
  await scene.exported();
  expect(existsSync(staging)).toBe(false);
});

test('an import that is stopped leaves no machine and no file', async () => {
  await scene.machine();
  await scene.exported();
  const stop = new AbortController();
  const stopped = await openMachines({
    state: scene.at('state'),
    signal: stop.signal,
    onEvent: (event) => event.type === 'file' && event.state === 'done' && stop.abort(),
  });
  const work = stopped.importVm({ folder: scene.at('out'), to: { folder: scene.at('new') }, id: 'new' });
  await expect(work).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(readdirSync(scene.at('new'))).toEqual([]);
  expect(await scene.machines.host.list()).toHaveLength(1);
});
