/** Files on web servers, as ends of a copy: they promise what every end promises. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { closeHttp } from '../../src/endpoint/http/client.js';
import { httpTargets } from '../../src/endpoint/http-put.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { closeUploads } from '../../src/endpoint/upload/client.js';
import { webdavScheme } from '../../src/endpoint/webdav.js';
import { apacheAvailable, startApache } from '../support/apache.js';
import { lighttpdAvailable, startLighttpd } from '../support/lighttpd.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { rcloneAvailable, startRcloneWebdav } from '../support/rclone-webdav.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { sourceContract } from './source-contract.js';
import { type TargetUnderTest, targetContract } from './target-contract.js';

const SIZE = 700 * KiB + 33;
const scratch = mkdtempSync(join(tmpdir(), 'contract-webdav-'));
const running: Served[] = [];
let state: string | undefined;

beforeAll(() => {
  state = process.env.BLOCKFERRY_STATE;
  process.env.BLOCKFERRY_STATE = join(scratch, 'state');
});
afterAll(async () => {
  if (state === undefined) delete process.env.BLOCKFERRY_STATE;
  else process.env.BLOCKFERRY_STATE = state;
  await closeUploads();
  await closeHttp();
  for (const server of running) await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

interface Served {
  readonly url: string;
  readonly folder: string;
  stop(): Promise<void>;
}

/** One server for all tests of a suite. */
function shared(name: string, available: () => boolean, start: () => Promise<Served>): () => Promise<Served | string> {
  let server: Promise<Served> | undefined;
  return async () => {
    if (!available()) return `needs ${name}`;
    server ??= start().then((started) => {
      running.push(started);
      return started;
    });
    return server;
  };
}

async function startWritableNginx(): Promise<Served> {
  const folder = mkdtempSync(join(scratch, 'nginx-'));
  for (const path of [scratch, folder]) chmodSync(path, 0o777);
  const nginx = await startNginx(folder, { directives: 'dav_methods PUT DELETE MOVE; client_max_body_size 0;' });
  return { url: nginx.urls[0] as string, folder, stop: nginx.stop };
}

const servers = [
  ['Apache', shared('apache2', apacheAvailable, startApache), {}],
  ['lighttpd', shared('lighttpd with mod_webdav', lighttpdAvailable, startLighttpd), {}],
  ['rclone', shared('rclone', rcloneAvailable, startRcloneWebdav), { oneChunk: true }],
] as const;

let files = 0;

for (const [name, serve, kind] of servers) {
  sourceContract(`a file on ${name}, by WebDAV,`, async () => {
    const server = await serve();
    if (typeof server === 'string') return server;
    const path = join(server.folder, 'source.img');
    writeMixedFile(path, SIZE, new Seeded(31));
    const bytes = readFileSync(path);
    // Through the server: what is changed behind its back, lighttpd does not see for a second.
    const change = async (): Promise<void> => {
      const body = new Uint8Array(new Seeded(32).bytes(SIZE));
      const answer = await fetch(`${server.url}/source.img`, { method: 'PUT', body });
      expect(answer.ok).toBe(true);
      utimesSync(path, 1_000_000_000, 1_000_000_000);
    };
    const at = (file: string) => parseLocation(`webdav${server.url.slice(4)}/${file}`);
    return { scheme: webdavScheme(), location: at('source.img'), missing: at('none'), bytes, change };
  }, ['extents']);

  target(`a file on ${name}, by WebDAV,`, serve, { over: 'webdav', ...kind });
  if (name !== 'rclone') target(`a file on ${name}, by PUT,`, serve, { over: 'http' });
}

target('a file on nginx, by PUT and MOVE,', shared('nginx', nginxAvailable, startWritableNginx), {
  over: 'http',
  oneChunk: true,
});

function target(
  name: string,
  serve: () => Promise<Served | string>,
  { over, ...kind }: { readonly over: 'webdav' | 'http'; readonly oneChunk?: true },
): void {
  const make = async (): Promise<TargetUnderTest | string> => {
    const server = await serve();
    if (typeof server === 'string') return server;
    const file = `copy-${++files}.img`;
    const path = join(server.folder, file);
    const read = (): Uint8Array | undefined => (existsSync(path) ? readFileSync(path) : undefined);
    const location = parseLocation(`${server.url.replace('http', over)}/${file}`);
    return { scheme: over === 'http' ? httpTargets() : webdavScheme(), location, read, ...kind };
  };
  targetContract(name, make, kind.oneChunk ? ['places'] : []);
}
