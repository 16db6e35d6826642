/** Exports and imports of machines that are off: real images, the real engine, and no hypervisor. */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, type TestContext, test } from 'vitest';
import { type Machines, openMachines } from '../../src/index.js';
import { type ExportManifest, MANIFEST } from '../../src/migrate/export-manifest.js';
import { canonicalBytes } from '../../src/migrate/receipt.js';
import type { VmDescription } from '../../src/migrate/vm.js';
import { needQemuImg, runTool } from '../support/disk-tools.js';

const MIB = 1024 * 1024;
const ID = '5f0c1a2b-7d31-4c06-9a55-b10cfe221900';

let folder: string;
let machines: Machines;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'export-'));
  machines = await openMachines({ state: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (...names: readonly string[]): string => join(folder, ...names);
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Two raw disks, the second of which shares nothing with the first. */
async function machine(change: Partial<VmDescription> = {}): Promise<VmDescription> {
  mkdirSync(at('vms'), { recursive: true });
  const disks = ['d0', 'd1'].map((id, n) => {
    const path = at('vms', `${id}.img`);
    const content = Buffer.alloc(2 * MIB);
    content.write(`the ${id} of the machine`, n * MIB + 4096);
    writeFileSync(path, content);
    return { id, sizeBytes: 2 * MIB, address: `0x${4 + n}`, chain: [{ path, format: 'raw' as const }] };
  });
  const vm: VmDescription = {
    ...{ schema: 1, id: ID, name: 'web', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
    ...{ memoryBytes: 64 * MIB, disks, networks: [], ...change },
  };
  await machines.host.add(vm);
  return vm;
}

function exported(name = 'out'): Promise<{ readonly manifest: ExportManifest }> {
  return machines.exportVm({ vm: ID, folder: at(name), what: 'data' });
}

/** Changes what an export says of itself, so that it agrees with itself again. */
function rewrite(name: string, change: (manifest: Record<string, unknown>) => void): void {
  const path = at(name, MANIFEST);
  const { sha256: _, ...content } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(content);
  const digest = createHash('sha256').update(canonicalBytes(content)).digest('hex');
  writeFileSync(path, JSON.stringify({ ...content, sha256: digest }));
}

function filesOf(manifest: Record<string, unknown>): Record<string, unknown>[] {
  return manifest.files as Record<string, unknown>[];
}

/** The files and machines before an import that is refused are those after it. */
async function refused(code: string, message: RegExp, work: () => Promise<unknown>): Promise<void> {
  const state = () => [
    readdirSync(folder, { recursive: true })
      .filter((name) => !`${name}`.endsWith('.lock'))
      .sort(),
  ];
  const before = state();
  await expect(work()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  expect(state()).toEqual(before);
}

test('an export names each file with its size and its SHA-256, and is for its user alone', async () => {
  const { disks } = await machine();
  const { manifest } = await exported();
  expect(readdirSync(at('out')).sort()).toEqual(['d0-0.img', 'd1-0.img', MANIFEST]);
  for (const { name, bytes, sha256: digest, disk } of manifest.files) {
    expect([bytes, digest]).toEqual([2 * MIB, sha256(at('out', name))]);
    const source = disks.find(({ id }) => id === disk)?.chain[0]?.path ?? '';
    expect(readFileSync(at('out', name))).toEqual(readFileSync(source));
  }
  expect(manifest).toMatchObject({ schema: 1, kind: 'blockferry-export', content: 'data', state: 'off' });
  expect(readdirSync(folder).sort()).toEqual(['out', 'state', 'vms']);
});

test('an import in place uses the files where they are', async () => {
  const vm = await machine();
  await exported();
  await machines.host.remove(ID);
  const { vm: imported } = await machines.importVm({ folder: at('out') });
  expect(imported).toEqual({
    ...vm,
    disks: vm.disks.map((disk) => ({ ...disk, chain: [{ path: at('out', `${disk.id}-0.img`), format: 'raw' }] })),
  });
  expect((await machines.host.get(ID)).vm).toEqual(imported);
});

test('an import as a copy leaves the export good for another one, and each has an id of its own', async () => {
  await machine({ consoleLog: at('vms', 'console.log') });
  await exported();
  const before = readdirSync(at('out')).map((name) => sha256(at('out', name)));
  const first = await machines.importVm({ folder: at('out'), to: { folder: at('one') }, id: 'new', name: 'one' });
  const second = await machines.importVm({
    folder: at('out'),
    to: { folder: at('two'), disks: { d1: at('fast') } },
    id: 'new',
  });
  expect(new Set([ID, first.vm.id, second.vm.id]).size).toBe(3);
  expect([first.vm.name, second.vm.name]).toEqual(['one', 'web']);
  expect(second.vm.disks.map(({ chain }) => chain[0]?.path)).toEqual([at('two', 'd0-0.img'), at('fast', 'd1-0.img')]);
  expect(first.vm.consoleLog).toContain(at('one'));
  expect(first.vm.consoleLog).not.toBe(second.vm.consoleLog);
  expect(sha256(at('fast', 'd1-0.img'))).toBe(sha256(at('vms', 'd1.img')));
  expect(readdirSync(at('out')).map((name) => sha256(at('out', name)))).toEqual(before);
});

test('the kernel that a machine starts goes with it', async () => {
  writeFileSync(at('vmlinuz'), 'a kernel');
  writeFileSync(at('initrd'), 'its first files');
  await machine({ kernel: { image: at('vmlinuz'), initrd: at('initrd'), append: 'quiet' } });
  await exported();
  const { vm } = await machines.importVm({ folder: at('out'), to: { folder: at('new') }, id: 'new' });
  expect(vm.kernel?.append).toBe('quiet');
  expect(readFileSync(vm.kernel?.image ?? '', 'utf8')).toBe('a kernel');
  expect(readFileSync(vm.kernel?.initrd ?? '', 'utf8')).toBe('its first files');
});

test('of a configuration alone the images are where they were, or where it is said', async () => {
  const vm = await machine();
  await machines.exportVm({ vm: ID, folder: at('conf'), what: 'configuration' });
  expect(readdirSync(at('conf'))).toEqual([MANIFEST]);
  await refused('E_VM_EXISTS', /d0\.img belongs to the machine web/, () =>
    machines.importVm({ folder: at('conf'), id: 'new' }),
  );
  await machines.host.remove(ID);
  expect((await machines.importVm({ folder: at('conf') })).vm).toEqual(vm);
  await machines.host.remove(ID);
  renameSync(at('vms'), at('moved'));
  await refused('E_SOURCE_MISSING', /vms\/d0\.img is missing/, () => machines.importVm({ folder: at('conf') }));
  const { vm: moved } = await machines.importVm({ folder: at('conf'), to: { folder: at('moved') } });
  expect(moved.disks.map(({ chain }) => chain[0]?.path)).toEqual([at('moved', 'd0.img'), at('moved', 'd1.img')]);
});

describe('of a disk with a snapshot', () => {
  async function chained(context: TestContext): Promise<void> {
    needQemuImg(context);
    mkdirSync(at('base'));
    mkdirSync(at('top'));
    writeFileSync(at('base', 'd0.img'), Buffer.alloc(2 * MIB, 'before the snapshot '));
    const overlay = at('top', 'd0.qcow2');
    runTool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', '../base/d0.img', overlay]);
    runTool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x41 1M 4k', overlay]);
    const chain = [
      { path: at('base', 'd0.img'), format: 'raw' },
      { path: overlay, format: 'qcow2' },
    ] as const;
    await machine({ disks: [{ id: 'd0', sizeBytes: 2 * MIB, address: '0x4', chain }] });
  }

  function content(path: string): Buffer {
    const raw = at('content.raw');
    runTool('qemu-img', ['convert', '-O', 'raw', path, raw]);
    return readFileSync(raw);
  }

  test('the chain is exported so that it stands on its own', async (context) => {
    await chained(context);
    const whole = content(at('top', 'd0.qcow2'));
    await exported();
    rmSync(at('base'), { recursive: true });
    rmSync(at('top'), { recursive: true });
    renameSync(at('out'), at('elsewhere'));
    expect(content(at('elsewhere', 'd0-1.qcow2'))).toEqual(whole);
    const { vm } = await machines.importVm({ folder: at('elsewhere'), to: { folder: at('new') }, id: 'new' });
    rmSync(at('elsewhere'), { recursive: true });
    expect(content(vm.disks[0]?.chain[1]?.path ?? '')).toEqual(whole);
  });

  test('the snapshot is exported without what was written since', async (context) => {
    await chained(context);
    await machines.exportVm({ vm: ID, folder: at('snap'), what: 1 });
    expect(readdirSync(at('snap'))).toEqual(['d0-0.img', MANIFEST]);
    expect(readFileSync(at('snap', 'd0-0.img'))).toEqual(readFileSync(at('base', 'd0.img')));
    await refused('E_USAGE', /no snapshot 2: it has the snapshots 1 to 1/, () =>
      machines.exportVm({ vm: ID, folder: at('none'), what: 2 }),
    );
  });

  test('a chain can become one image', async (context) => {
    await chained(context);
    const whole = content(at('top', 'd0.qcow2'));
    const { manifest } = await machines.exportVm({ vm: ID, folder: at('flat'), what: 'data', flatten: true });
    expect(readFileSync(at('flat', 'd0-0.img'))).toEqual(whole);
    expect(manifest.vm.disks[0]?.chain.map(({ format }) => format)).toEqual(['raw']);
    const { vm } = await machines.importVm({ folder: at('flat'), id: 'new' });
    expect(vm.disks[0]?.chain).toEqual([{ path: at('flat', 'd0-0.img'), format: 'raw' }]);
  });
});

test('an export that fails leaves nothing, and replaces nothing', async () => {
  await machine();
  rmSync(at('vms', 'd1.img'));
  await refused('E_SOURCE_MISSING', /d1\.img/, () => exported());
  writeFileSync(at('taken'), 'mine');
  await refused('E_TARGET_EXISTS', /taken exists already/, () => exported('taken'));
  await refused('E_TARGET_FOLDER', /nowhere is missing/, () => exported('nowhere/out'));
  expect(readFileSync(at('taken'), 'utf8')).toBe('mine');
});

test('what an interrupted export has left is no hindrance', async () => {
  await machine();
  const staging = at(`.out.${ID.slice(0, 8)}.blockferry-export`);
  mkdirSync(staging);
  writeFileSync(join(staging, 'd0-0.img'), 'half');
  await exported();
  expect(existsSync(staging)).toBe(false);
});

test('an import that is stopped leaves no machine and no file', async () => {
  await machine();
  await exported();
  const stop = new AbortController();
  const stopped = await openMachines({
    state: at('state'),
    signal: stop.signal,
    onEvent: (event) => event.type === 'file' && event.state === 'done' && stop.abort(),
  });
  const work = stopped.importVm({ folder: at('out'), to: { folder: at('new') }, id: 'new' });
  await expect(work).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(readdirSync(at('new'))).toEqual([]);
  expect(await machines.host.list()).toHaveLength(1);
});

describe('an import is refused', () => {
  beforeEach(async () => {
    await machine();
    await exported();
  });
  const copy = () => machines.importVm({ folder: at('out'), to: { folder: at('out') + '-new' }, id: 'new' });

  test('when its id is here already', async () => {
    await refused('E_VM_EXISTS', /has the machine 5f0c1a2b.* already: web/, () =>
      machines.importVm({ folder: at('out') }),
    );
  });

  test('in place a second time, since two machines would write to one image', async () => {
    await machines.importVm({ folder: at('out'), id: 'new' });
    mkdirSync(at('again'));
    for (const name of readdirSync(at('out'))) linkSync(at('out', name), at('again', name));
    await refused('E_VM_EXISTS', /belongs to the machine web/, () =>
      machines.importVm({ folder: at('again'), id: 'new' }),
    );
  });

  test('when a file is missing, shorter, a link or changed, and the file is named', async () => {
    const path = at('out', 'd1-0.img');
    const good = readFileSync(path);
    rmSync(path);
    await refused('E_SOURCE_MISSING', /d1-0\.img is missing/, copy);
    symlinkSync(at('vms', 'd1.img'), path);
    await refused('E_SOURCE_KIND', /d1-0\.img is no file of its own/, copy);
    rmSync(path);
    writeFileSync(path, good);
    truncateSync(path, MIB);
    await refused('E_INTEGRITY', /d1-0\.img .* has 1048576 bytes, and 2097152/, copy);
    const bad = Buffer.from(good);
    bad[5000] = 1;
    writeFileSync(path, bad);
    await refused('E_INTEGRITY', /d1-0\.img .*SHA-256/, () => machines.importVm({ folder: at('out'), id: 'new' }));
    await expect(copy()).rejects.toMatchObject({ code: 'E_INTEGRITY', message: expect.stringContaining('d1-0.img') });
    expect(readdirSync(at('out-new'))).toEqual([]);
    expect(await machines.host.list()).toHaveLength(1);
  });

  test('when what it would make exists', async () => {
    mkdirSync(at('out-new'));
    writeFileSync(at('out-new', 'd1-0.img'), 'mine');
    await refused('E_TARGET_EXISTS', /out-new\/d1-0\.img exists already/, copy);
    expect(readFileSync(at('out-new', 'd1-0.img'), 'utf8')).toBe('mine');
  });

  test.each<readonly [string, RegExp, (manifest: Record<string, unknown>) => void]>([
    ['a later schema', /schema 2, and this version knows 1/, (manifest) => Object.assign(manifest, { schema: 2 })],
    ['another kind', /no export of a machine/, (manifest) => Object.assign(manifest, { kind: 'other' })],
    ['a field that is not known', /cannot be used/, (manifest) => Object.assign(manifest, { more: 1 })],
    ['..', /files\.0\.name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: '../vms/d0.img' })],
    ['/', /files\.0\.name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: at('vms', 'd0.img') })],
    ['a hidden name', /files\.0\.name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: '.d0' })],
    ['its own name', /one name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: MANIFEST })],
    ['one file twice', /two files/, (manifest) => filesOf(manifest).push(filesOf(manifest)[0] ?? {})],
    ['no file for a disk', /no file for disk d1/, (manifest) => filesOf(manifest).pop()],
    [
      'a disk that is not there',
      /belongs to nothing/,
      (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { disk: 'x' }),
    ],
    ['a bad description', /describes no machine/, (manifest) => Object.assign(manifest.vm as object, { cpus: 0 })],
  ])('when its manifest has %s', async (_, message, change) => {
    rewrite('out', change);
    await refused(message.source.includes('describes') ? 'E_USAGE' : 'E_MANIFEST', message, copy);
  });

  test('when its manifest was changed, is no JSON, is a link or is not there', async () => {
    const path = at('out', MANIFEST);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"name": "web"', '"name": "wet"'));
    await refused('E_MANIFEST', /changed since it was written/, copy);
    writeFileSync(path, text.slice(0, 100));
    await refused('E_MANIFEST', /no JSON/, copy);
    copyFileSync(path, at('other.json'));
    rmSync(path);
    symlinkSync(at('other.json'), path);
    await refused('E_MANIFEST', /it is a link/, copy);
    rmSync(path);
    await refused('E_SOURCE_MISSING', /export\.json cannot be read/, copy);
  });

  test('when a disk is named that it has not', async () => {
    const to = { folder: at('new'), disks: { d7: at('new') } };
    await refused('E_USAGE', /web has no disk d7/, () => machines.importVm({ folder: at('out'), to, id: 'new' }));
  });
});
