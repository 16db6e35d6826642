/** Whole copies to and from real web servers, stopped and killed half way. */
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { apacheAvailable, startApache } from '../support/apache.js';
import { bytesOf, CHUNK, leftIn, makeFile, scratchFolder } from '../support/copying.js';
import { runCrashChild } from '../support/crash-run.js';
import { isPart } from '../support/dav-copy.js';
import { lighttpdAvailable, startLighttpd } from '../support/lighttpd.js';
import { copyNoting } from '../support/noting.js';
import { rcloneAvailable, startRcloneWebdav } from '../support/rclone-webdav.js';
import { Seeded } from '../support/seeded.js';
import type { ServerProcess } from '../support/server-process.js';

type Served = ServerProcess & { readonly url: string; readonly folder: string };

const PATCHING = [
  ['Apache', apacheAvailable, startApache],
  ['lighttpd', lighttpdAvailable, startLighttpd],
] as const;
const SERVERS = [...PATCHING, ['rclone', rcloneAvailable, startRcloneWebdav]] as const;
const SIZE = 12 * MiB + 4711;

async function serve(context: TestContext, available: () => boolean, start: () => Promise<Served>): Promise<Served> {
  context.skip(!available(), 'this machine lacks the server');
  vi.stubEnv('BLOCKFERRY_STATE', join(scratchFolder(), 'state'));
  const server = await start();
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await server.stop();
  });
  return server;
}

const dav = (server: Served, file: string): string => `webdav${server.url.slice(4)}/${file}`;

function expectStored(server: Served, file: string, bytes: Buffer): void {
  expect(readFileSync(join(server.folder, file)).equals(bytes)).toBe(true);
  expect(leftIn(server.folder)).toEqual([]);
}

describe.each(SERVERS)('a file is copied to %s and back', (name, available, start) => {
  test('with the same bytes, and nothing is left beside it', async (context) => {
    const server = await serve(context, available, start);
    const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
    const { notes } = await copyNoting({
      source,
      target: dav(server, ''),
      ...(name !== 'rclone' && { chunkBytes: CHUNK }),
    });
    expectStored(server, 'disk.img', bytesOf(SIZE, 'source'));
    expect(notes.some((note) => note.includes('in one piece'))).toBe(name === 'rclone');
    const back = join(scratchFolder(), 'back.img');
    await copyNoting({ source: dav(server, 'disk.img'), target: back });
    expect(readFileSync(back).equals(bytesOf(SIZE, 'source'))).toBe(true);
  });

  test('an empty file, and a name that needs to be encoded', async (context) => {
    const server = await serve(context, available, start);
    const source = join(scratchFolder(), 'a b%ü#?.img');
    writeFileSync(source, '');
    mkdirSync(join(server.folder, 'sub'));
    chmodSync(join(server.folder, 'sub'), 0o777);
    await copyNoting({ source, target: dav(server, 'sub') });
    expect(readdirSync(join(server.folder, 'sub'))).toEqual(['a b%ü#?.img']);
  });
});

describe.each(PATCHING)('to %s', (name, available, start) => {
  const moment = new Seeded(name.length);

  test('a copy that is killed goes on where it was, with the same bytes', async (context) => {
    const server = await serve(context, available, start);
    const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
    const options = { source, target: dav(server, 'disk.img'), chunkBytes: CHUNK, workers: 2 };
    const first = await runCrashChild({ ...options, limitBytesPerSecond: 3 * MiB }, { at: 'checkpoint', nth: 1 });
    expect(first.killed).toBe(true);
    await server.kill();
    await server.start();
    // What it had claimed is read back, and what is not there is written again.
    const name = readdirSync(server.folder).find(isPart) as string;
    const part = openSync(join(server.folder, name), 'r+');
    writeSync(part, Buffer.alloc(1000), 0, 1000, CHUNK - 500);
    closeSync(part);
    const { result } = await copyNoting(options);
    expectStored(server, 'disk.img', bytesOf(SIZE, 'source'));
    expect(result.bytesReused).toBeGreaterThan(MiB);
    expect(result.bytesMismatched).toBeGreaterThanOrEqual(CHUNK);
    expect(result.bytesCopied).toBeLessThan(SIZE - MiB);
  });

  test('a server that is killed and comes back costs the copy nothing but time', async (context) => {
    const server = await serve(context, available, start);
    const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
    const run = copy({
      source,
      target: dav(server, 'disk.img'),
      chunkBytes: CHUNK,
      workers: 2,
      limitBytesPerSecond: 4 * MiB,
    });
    const atBytes = moment.int(3 * MiB, 8 * MiB);
    let killed = false;
    for await (const event of run) {
      if (killed || event.type !== 'progress' || event.bytesDone < atBytes) continue;
      killed = true;
      await server.kill();
      await server.start();
      await run.setLimit(0);
    }
    await run.result;
    expect(killed).toBe(true);
    expectStored(server, 'disk.img', bytesOf(SIZE, 'source'));
  });
});
