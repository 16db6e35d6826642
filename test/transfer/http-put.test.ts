/** Files that are written to plain web servers by PUT: nginx, with MOVE and without. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { bytesOf, failureOf, makeFile, scratchFolder } from '../support/copying.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { copyNoting } from '../support/noting.js';

const SIZE = 3 * MiB + 4711;

interface Served {
  readonly url: string;
  readonly folder: string;
  readonly source: string;
}

async function serve(context: TestContext, methods: string): Promise<Served> {
  context.skip(!nginxAvailable(), 'needs nginx');
  vi.stubEnv('BLOCKFERRY_STATE', join(scratchFolder(), 'state'));
  const folder = mkdtempSync(join(tmpdir(), 'put-'));
  chmodSync(folder, 0o777);
  const nginx = await startNginx(folder, { directives: `dav_methods ${methods}; client_max_body_size 0;` });
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await nginx.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
  return { url: nginx.urls[0] as string, folder, source };
}

test('a server that knows MOVE gets the file under another name, and then its own', async (context) => {
  const { url, folder, source } = await serve(context, 'PUT DELETE MOVE');
  const { notes } = await copyNoting({ source, target: `${url}/disk.img` });
  expect(readFileSync(join(folder, 'disk.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
  expect(readdirSync(folder)).toEqual(['disk.img']);
  expect(notes.join()).toMatch(/in one piece/);
  expect(notes.join()).not.toMatch(/straight to its name/);
  const again = await failureOf(copyNoting({ source, target: `${url}/disk.img` }));
  expect(again.code).toBe('E_TARGET_EXISTS');
  writeFileSync(join(folder, 'disk.img'), 'old');
  await copyNoting({ source, target: `${url}/`, overwrite: true });
  expect(readFileSync(join(folder, 'disk.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
});

test('a server that knows PUT alone gets the file straight under its name, which is said', async (context) => {
  const { url, folder, source } = await serve(context, 'PUT');
  const { notes } = await copyNoting({ source, target: `${url}/disk.img` });
  expect(readFileSync(join(folder, 'disk.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
  expect(notes.join()).toMatch(/straight to its name/);
  const again = await failureOf(copyNoting({ source, target: `${url}/disk.img` }));
  expect(again).toMatchObject({ code: 'E_TARGET_EXISTS', hint: expect.stringContaining('--overwrite') });
  writeFileSync(join(folder, 'disk.img'), 'old');
  await copyNoting({ source, target: `${url}/disk.img`, overwrite: true, readBack: true });
  expect(readFileSync(join(folder, 'disk.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
});

test('an empty file is written, too', async (context) => {
  const { url, folder } = await serve(context, 'PUT');
  const source = join(scratchFolder(), 'empty');
  writeFileSync(source, '');
  await copyNoting({ source, target: `${url}/empty` });
  expect(readFileSync(join(folder, 'empty')).length).toBe(0);
});

test('a file is never copied onto itself through the server that it is read from', async (context) => {
  const { url, folder } = await serve(context, 'PUT');
  writeFileSync(join(folder, 'disk.img'), bytesOf(SIZE, 'source'));
  const both = await failureOf(copyNoting({ source: `${url}/disk.img`, target: `${url}/disk.img`, overwrite: true }));
  expect(both.code).toBe('E_USAGE');
  const spelt = `${url}/%64isk%2eimg`;
  const same = await failureOf(copyNoting({ source: `${url}/disk.img`, target: spelt, overwrite: true }));
  expect(same.code).toBe('E_USAGE');
  expect(readFileSync(join(folder, 'disk.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
});
