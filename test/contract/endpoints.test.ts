import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { closeHttp } from '../../src/endpoint/http/client.js';
import { attachHttpSource, openHttpSource } from '../../src/endpoint/http.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { MemoryStore } from '../../src/endpoint/memory.js';
import { zeroScheme } from '../../src/endpoint/null.js';
import { realFiles } from '../../src/platform/file-layer.js';
import { type NginxServer, nginxAvailable, startNginx } from '../support/nginx.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { type SourceUnderTest, sourceContract } from './source-contract.js';
import { targetContract } from './target-contract.js';

const scratch = mkdtempSync(join(tmpdir(), 'contract-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SIZE = 700 * KiB + 33;

function newFolder(): string {
  return mkdtempSync(join(scratch, 'end-'));
}

/** A file with holes, and how to give it other bytes, all at once and with a time of its own. */
function mixedFile(folder: string): { path: string; bytes: Buffer; change: () => Promise<void> } {
  const path = join(folder, 'disk.img');
  writeMixedFile(path, SIZE, new Seeded(11));
  const change = async (): Promise<void> => {
    writeFileSync(path, new Seeded(12).bytes(SIZE));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
  };
  return { path, bytes: readFileSync(path), change };
}

sourceContract('a local file', async () => {
  const { path, bytes, change } = mixedFile(newFolder());
  const missing = parseLocation(join(scratch, 'missing'));
  return { scheme: localScheme(realFiles), location: parseLocation(path), bytes, missing, change };
});

const nginxFile = async (server: NginxServer = {}): Promise<SourceUnderTest | string> => {
  if (!nginxAvailable()) return 'needs nginx';
  const folder = newFolder();
  const { bytes, change } = mixedFile(folder);
  const nginx = await startNginx(folder, server);
  const close = async (): Promise<void> => {
    await closeHttp();
    await nginx.stop();
  };
  const scheme = {
    openSource: (location: Parameters<typeof openHttpSource>[0]) => openHttpSource(location),
    attachSource: (ref: Parameters<typeof attachHttpSource>[0]) => attachHttpSource(ref),
  };
  const [location, missing] = ['disk.img', 'missing'].map((name) => parseLocation(`${nginx.urls[0]}/${name}`));
  return {
    scheme,
    location: location as NonNullable<typeof location>,
    bytes,
    ...(missing && { missing }),
    change,
    close,
  };
};

sourceContract('a file behind nginx', () => nginxFile(), ['extents']);
sourceContract('a file behind a server without ranges', () => nginxFile({ ranges: false }), ['extents']);

const memoryFile = async (): Promise<SourceUnderTest> => {
  const store = new MemoryStore(newFolder());
  const bytes = new Seeded(13).bytes(SIZE);
  store.put('disk', bytes);
  const change = async (): Promise<void> => store.put('disk', new Seeded(14).bytes(SIZE));
  const [location, missing] = [parseLocation('memory:disk'), parseLocation('memory:missing')];
  return { scheme: store.scheme(), location, bytes, missing, change };
};

sourceContract('a file in memory', memoryFile, ['extents']);

const zeroes = async (): Promise<SourceUnderTest> => ({
  scheme: zeroScheme(),
  location: parseLocation(`zero:${SIZE}`),
  bytes: new Uint8Array(SIZE),
});

sourceContract('zeroes', zeroes, ['extents', 'missing', 'change']);

targetContract('a local file', async () => {
  const path = join(newFolder(), 'copy.img');
  const read = (): Uint8Array | undefined => (existsSync(path) ? readFileSync(path) : undefined);
  return { scheme: localScheme(realFiles), location: parseLocation(path), read };
});

targetContract('a file in memory', async () => {
  const store = new MemoryStore(newFolder());
  return { scheme: store.scheme(), location: parseLocation('memory:copy'), read: () => store.bytes('copy') };
});
