/** Copies to web servers that are stopped at the worst moments, are locked, ask who comes, or say nothing any more. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { closeUploads, untilStored } from '../../src/endpoint/upload/client.js';
import type { UploadPartRef } from '../../src/endpoint/upload/part.js';
import { attachUpload } from '../../src/endpoint/upload/target.js';
import { webdavScheme } from '../../src/endpoint/webdav.js';
import { type Apache, type ApacheOptions, apacheAvailable, startApache } from '../support/apache.js';
import { makeAuthority } from '../support/certificates.js';
import { startCopy } from '../support/copy-process.js';
import { bytesOf, CHUNK, failureOf, leftIn, makeFile, scratchFolder } from '../support/copying.js';
import { serveDav } from '../support/dav-server.js';
import { copyNoting } from '../support/noting.js';
import { rcloneAvailable, startRcloneWebdav } from '../support/rclone-webdav.js';
import { codeOf, never } from '../support/reading.js';

const SIZE = 6 * MiB + 4711;
const bytes = bytesOf(SIZE, 'source');

function stated(): string {
  vi.stubEnv('BLOCKFERRY_STATE', join(scratchFolder(), 'state'));
  onTestFinished(() => void vi.unstubAllEnvs());
  return makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
}

async function apache(context: TestContext, options: ApacheOptions = {}): Promise<Apache> {
  context.skip(!apacheAvailable(), 'needs apache2 with mod_dav');
  const server = await startApache(options);
  onTestFinished(server.stop);
  return server;
}

test('a commit that was cut short after the file had its name is finished by the next run', async () => {
  const source = stated();
  let moved = (): void => undefined;
  const untilMoved = new Promise<void>((resolve) => {
    moved = resolve;
  });
  const dav = await serveDav((request, answer, good) => {
    if (request.method !== 'MOVE' || request.path.includes('probe')) return undefined;
    answer.end = (() => answer) as typeof answer.end;
    good();
    moved();
    return 'answered';
  });
  onTestFinished(dav.stop);
  const options = { source, target: `${dav.url}/disk.img`, chunkBytes: CHUNK };
  const first = startCopy(options);
  await untilMoved;
  await first.kill();
  const { notes } = await copyNoting(options);
  expect(notes.join()).toMatch(/its last step was finished now/);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('a name that is locked on the server is told, and the copy is kept until it is free', async (context) => {
  const server = await apache(context);
  const source = stated();
  const kind = '<lockscope><exclusive/></lockscope><locktype><write/></locktype>';
  const body = `<?xml version="1.0"?><lockinfo xmlns="DAV:">${kind}</lockinfo>`;
  const locked = await fetch(`${server.url}/disk.img`, {
    method: 'LOCK',
    body,
    headers: { 'content-type': 'text/xml' },
  });
  const token = locked.headers.get('lock-token') ?? '';
  const options = { source, target: `webdav${server.url.slice(4)}/disk.img`, chunkBytes: MiB, overwrite: true };
  const error = await failureOf(copyNoting(options));
  expect(error).toMatchObject({ code: 'E_LOCKED', hint: expect.stringContaining('lock') });
  await fetch(`${server.url}/disk.img`, { method: 'UNLOCK', headers: { 'lock-token': token } });
  const { result } = await copyNoting(options);
  expect(result.bytesReused).toBe(SIZE);
  expect(readFileSync(join(server.folder, 'disk.img')).equals(bytes)).toBe(true);
  expect(leftIn(server.folder)).toEqual([]);
});

test('webdavs goes over TLS, with the authority and the netrc file that are named', async (context) => {
  const folder = scratchFolder();
  const authority = makeAuthority(folder);
  const user = { name: 'carrier', password: 'secret word' };
  const server = await apache(context, { user, tls: authority.sign('server') });
  const source = stated();
  const netrc = join(folder, 'netrc');
  writeFileSync(netrc, 'machine 127.0.0.1 login carrier password "secret word"\n', { mode: 0o600 });
  vi.stubEnv('NETRC', netrc);
  const target = `webdavs${server.url.slice(5)}/disk.img`;
  const untrusted = await failureOf(copyNoting({ source, target }));
  expect(untrusted).toMatchObject({ code: 'E_NETWORK', message: expect.stringContaining('certificate') });
  const http = { caFile: authority.ca };
  await copyNoting({ source, target, chunkBytes: MiB, http });
  expect(readFileSync(join(server.folder, 'disk.img')).equals(bytes)).toBe(true);
  const back = join(folder, 'back.img');
  await copyNoting({ source: target, target: back, http });
  expect(readFileSync(back).equals(bytes)).toBe(true);
  const wrong = target.replace('//', '//carrier:nonsense@');
  expect(await failureOf(copyNoting({ source: wrong, target: join(folder, 'none'), http }))).toMatchObject({
    code: 'E_AUTH',
  });
});

test('a file that goes by one PUT begins again after a kill, of client or server, and is right', async (context) => {
  context.skip(!rcloneAvailable(), 'needs rclone');
  const server = await startRcloneWebdav();
  onTestFinished(server.stop);
  const source = stated();
  const options = { source, target: `webdav${server.url.slice(4)}/disk.img` };
  const first = startCopy({ ...options, limitBytesPerSecond: 2 * MiB });
  await first.reached(3 * MiB);
  await first.kill();
  expect(leftIn(server.folder)).not.toEqual(['disk.img']);
  const second = startCopy({ ...options, limitBytesPerSecond: 2 * MiB });
  await second.reached(3 * MiB);
  await server.kill();
  await server.start();
  const ended = await second.ended;
  if (ended.error) await copyNoting(options);
  expect(readFileSync(join(server.folder, 'disk.img')).equals(bytes)).toBe(true);
  expect(leftIn(server.folder)).toEqual([]);
});

test('a PUT that is given up in its middle keeps its lock from the next one for a moment only', async (context) => {
  context.skip(!rcloneAvailable(), 'needs rclone');
  const server = await startRcloneWebdav();
  onTestFinished(server.stop);
  onTestFinished(closeUploads);
  stated();
  const scheme = webdavScheme();
  const url = `webdav${server.url.slice(4)}/disk.img`;
  const site = await scheme.locateTarget?.(parseLocation(url), 'disk.img');
  const prepared = await scheme.prepareTarget?.(site?.ref as UploadPartRef, {
    ...{ size: SIZE, partial: 'create', sync: true },
  });
  const target = attachUpload(prepared?.ref as UploadPartRef);
  const half = target.openChunk({ offset: 0, length: SIZE }, never);
  await half.write(bytes.subarray(0, SIZE / 2));
  const whole = async (): Promise<void> => {
    const writer = target.openChunk({ offset: 0, length: SIZE }, never);
    try {
      await writer.write(bytes);
      await writer.finish(new Uint8Array(8));
    } catch (thrown) {
      writer.abort();
      throw thrown;
    }
  };
  // The first one still holds it: as a server does that has not heard of its end.
  await vi.waitFor(async () => expect(await codeOf(whole)).toBe('E_UNAVAILABLE'), { timeout: 30_000 });
  half.abort();
  await vi.waitFor(whole, { timeout: 30_000 });
  await target.commit({ overwrite: false, sync: true });
  expect(readFileSync(join(server.folder, 'disk.img')).equals(bytes)).toBe(true);
});

test('a MOVE has as much longer as the file is large, for some servers copy it; then it is given up', async () => {
  expect(untilStored(4096, 1000)).toBe(1001);
  expect(untilStored(1024 * 1024 * MiB)).toBeGreaterThan(8 * 3_600_000);
  stated();
  const dav = await serveDav(({ method, path }) =>
    method === 'MOVE' && path.endsWith('-part') ? new Promise(() => undefined) : undefined,
  );
  onTestFinished(async () => {
    await closeUploads();
    await dav.stop();
  });
  const scheme = webdavScheme();
  const site = await scheme.locateTarget?.(parseLocation(`${dav.url}/disk.img?upload=whole`), 'disk.img');
  const request = { size: 4096, partial: 'create', sync: true } as const;
  const prepared = await scheme.prepareTarget?.(site?.ref as UploadPartRef, request);
  const target = attachUpload(prepared?.ref as UploadPartRef, { silenceMsMax: 300 });
  const writer = target.openChunk({ offset: 0, length: 4096 }, never);
  await writer.write(new Uint8Array(4096).fill(1));
  await writer.finish(new Uint8Array(8));
  expect(await codeOf(() => target.commit({ overwrite: false, sync: true }))).toBe('E_FLUSH');
});

test.each(['ranges', 'whole'] as const)('a server that says nothing any more is given up (%s)', async (way) => {
  stated();
  const dav = await serveDav((request) => {
    const silent = request.method === 'PUT' && request.body.length > 1 && request.path.endsWith('-part');
    return silent ? new Promise(() => undefined) : undefined;
  });
  onTestFinished(async () => {
    await closeUploads();
    await dav.stop();
  });
  const query = way === 'whole' ? '?upload=whole' : '';
  const scheme = webdavScheme();
  const site = await scheme.locateTarget?.(parseLocation(`${dav.url}/disk.img${query}`), 'disk.img');
  const request = { size: 4096, partial: 'create', sync: true } as const;
  const prepared = await scheme.prepareTarget?.(site?.ref as UploadPartRef, request);
  const target = attachUpload(prepared?.ref as UploadPartRef, { silenceMsMax: 300 });
  const writer = target.openChunk({ offset: 0, length: 4096 }, never);
  await writer.write(new Uint8Array(4096).fill(1));
  expect(await codeOf(() => writer.finish(new Uint8Array(8)))).toBe('E_TIMEOUT');
  expect(await codeOf(() => target.flush())).toBe('no error');
});
