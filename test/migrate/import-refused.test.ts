/** Imports that are refused: nothing of an export is believed, and nothing is changed. */
import {
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { MANIFEST } from '../../src/migrate/export-manifest.js';
import { type ExportScene, exportScene, MIB } from '../support/exporting.js';

/** Its export is what each test begins with. */
let template: ExportScene;
let scene: ExportScene;
beforeAll(async () => {
  template = await exportScene();
  await template.machine();
  await template.exported();
});
afterAll(() => template.close());
beforeEach(async () => {
  scene = await exportScene();
  await scene.machine();
  cpSync(template.at('out'), scene.at('out'), { recursive: true });
});
afterEach(() => scene.close());

function filesOf(manifest: Record<string, unknown>): Record<string, unknown>[] {
  return manifest.files as Record<string, unknown>[];
}

const copy = () => scene.machines.importVm({ folder: scene.at('out'), to: { folder: scene.at('out-new') }, id: 'new' });

test('an import is refused when its id is here already', async () => {
  await scene.refused('E_VM_EXISTS', /has the machine 5f0c1a2b.* already: web/, () =>
    scene.machines.importVm({ folder: scene.at('out') }),
  );
});

test('an import is refused in place a second time, since two machines would write to one image', async () => {
  await scene.machines.importVm({ folder: scene.at('out'), id: 'new' });
  mkdirSync(scene.at('again'));
  for (const name of readdirSync(scene.at('out'))) linkSync(scene.at('out', name), scene.at('again', name));
  await scene.refused('E_VM_EXISTS', /belongs to the machine web/, () =>
    scene.machines.importVm({ folder: scene.at('again'), id: 'new' }),
  );
});

test('an import is refused when a file is missing, shorter, a link or changed, and the file is named', async () => {
  const path = scene.at('out', 'd1-0.img');
  const good = readFileSync(path);
  rmSync(path);
  await scene.refused('E_SOURCE_MISSING', /d1-0\.img is missing/, copy);
  symlinkSync(scene.at('vms', 'd1.img'), path);
  await scene.refused('E_SOURCE_KIND', /d1-0\.img is no file of its own/, copy);
  rmSync(path);
  writeFileSync(path, good);
  truncateSync(path, MIB);
  await scene.refused('E_INTEGRITY', /d1-0\.img .* has 1048576 bytes, and 2097152/, copy);
  const bad = Buffer.from(good);
  bad[5000] = 1;
  writeFileSync(path, bad);
  await scene.refused('E_INTEGRITY', /d1-0\.img .*SHA-256/, () =>
    scene.machines.importVm({ folder: scene.at('out'), id: 'new' }),
  );
  await expect(copy()).rejects.toMatchObject({ code: 'E_INTEGRITY', message: expect.stringContaining('d1-0.img') });
  expect(readdirSync(scene.at('out-new'))).toEqual([]);
  expect(await scene.machines.host.list()).toHaveLength(1);
});

test('an import is refused when what it would make exists', async () => {
  mkdirSync(scene.at('out-new'));
  writeFileSync(scene.at('out-new', 'd1-0.img'), 'mine');
  await scene.refused('E_TARGET_EXISTS', /out-new\/d1-0\.img exists already/, copy);
  expect(readFileSync(scene.at('out-new', 'd1-0.img'), 'utf8')).toBe('mine');
});

test.each<readonly [string, RegExp, (manifest: Record<string, unknown>) => void]>([
  ['a later schema', /schema 2, and this version knows 1/, (manifest) => Object.assign(manifest, { schema: 2 })],
  ['another kind', /no export of a machine/, (manifest) => Object.assign(manifest, { kind: 'other' })],
  ['a field that is not known', /cannot be used/, (manifest) => Object.assign(manifest, { more: 1 })],
  ['..', /files\.0\.name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: '../vms/d0.img' })],
  ['/', /files\.0\.name/, (manifest) => Object.assign(filesOf(manifest)[0] ?? {}, { name: scene.at('vms', 'd0.img') })],
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
])('an import is refused when its manifest has %s', async (_, message, change) => {
  scene.rewrite('out', change);
  await scene.refused(message.source.includes('describes') ? 'E_USAGE' : 'E_MANIFEST', message, copy);
});

test('an import is refused when its manifest was changed, is no JSON, is a link or is not there', async () => {
  const path = scene.at('out', MANIFEST);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"name": "web"', '"name": "wet"'));
  await scene.refused('E_MANIFEST', /changed since it was written/, copy);
  writeFileSync(path, text.slice(0, 100));
  await scene.refused('E_MANIFEST', /no JSON/, copy);
  copyFileSync(path, scene.at('other.json'));
  rmSync(path);
  symlinkSync(scene.at('other.json'), path);
  await scene.refused('E_MANIFEST', /it is a link/, copy);
  rmSync(path);
  await scene.refused('E_SOURCE_MISSING', /export\.json cannot be read/, copy);
});

test('an import is refused when a disk is named that it has not', async () => {
  const to = { folder: scene.at('new'), disks: { d7: scene.at('new') } };
  await scene.refused('E_USAGE', /web has no disk d7/, () =>
    scene.machines.importVm({ folder: scene.at('out'), to, id: 'new' }),
  );
});
