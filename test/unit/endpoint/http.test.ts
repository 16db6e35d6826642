/** The http(s) source against a real nginx: what a good server does by itself. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { closeHttp } from '../../../src/endpoint/http/client.js';
import { attachHttpSource } from '../../../src/endpoint/http.js';
import { type Nginx, nginxAvailable, startNginx } from '../../support/nginx.js';
import { never, readChunk, readOn } from '../../support/reading.js';
import { failure, newClient, open, someBytes } from './http/helpers.js';

const MiB = 1024 * 1024;
const disk = someBytes(3 * MiB + 5, 1);

describe.skipIf(!nginxAvailable())('with nginx', () => {
  let folder: string;
  let nginx: Nginx;
  let plain: string;
  let rangeless: string;
  let dateOnly: string;
  let secure: string;
  let slow: string;
  let secureOnce: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'http-source-'));
    await writeFile(join(folder, 'disk.img'), disk);
    await writeFile(join(folder, 'empty.img'), '');
    await writeFile(join(folder, 'one.img'), 'x');
    const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject];
    execFileSync('openssl', [...request, '-keyout', tls.key, '-out', tls.cert], { stdio: 'ignore' });
    const directives = 'location = /moved { return 302 /disk.img; }';
    nginx = await startNginx(
      folder,
      { directives },
      { ranges: false },
      { etag: false },
      { tls },
      { limitRate: 65_536 },
      { tls, directives: 'keepalive_timeout 0;' },
    );
    [plain = '', rangeless = '', dateOnly = '', secure = '', slow = '', secureOnce = ''] = nginx.urls;
  });

  afterAll(async () => {
    await closeHttp();
    await nginx.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** A file of its own for a test that changes it. */
  async function fileNamed(name: string, bytes: Uint8Array): Promise<string> {
    await writeFile(join(folder, name), bytes);
    await utimes(join(folder, name), 1_700_000_000, 1_700_000_000);
    return name;
  }

  test('reads any chunk, in any order, any number of times', async () => {
    const source = await open(`${plain}/disk.img`);
    expect(source.size).toBe(disk.length);
    for (const offset of [2 * MiB, 0, MiB, 3 * MiB, 0]) {
      const length = Math.min(MiB, disk.length - offset);
      const bytes = await readChunk(source, { offset, length }, 100_000);
      expect(bytes.equals(disk.subarray(offset, offset + length)), `chunk at ${offset}`).toBe(true);
    }
    await source.close();
  });

  test('a block of any size is filled whole, and only the last one of a chunk is short', async () => {
    const source = await open(`${plain}/disk.img`);
    const reader = source.openChunk({ offset: 7, length: 250_000 }, never);
    const block = new Uint8Array(100_000);
    expect([await reader.next(block), await reader.next(block), await reader.next(block)]).toEqual([
      100_000, 100_000, 50_000,
    ]);
    expect(await reader.next(block)).toBe(0);
    expect(disk.subarray(200_007, 250_007).equals(block.subarray(0, 50_000))).toBe(true);
    reader.close();
    reader.close();
  });

  test('two chunks read by turns on one thread each get their own bytes', async () => {
    const source = await open(`${plain}/disk.img`);
    const ranges = [0, 1.5 * MiB].map((offset) => ({ offset, length: 1.5 * MiB }));
    const readers = ranges.map((range) => source.openChunk(range, never));
    const got = ranges.map(({ length }) => Buffer.alloc(length));
    for (let done = 0; done < 1.5 * MiB; done += 49_152) {
      for (const which of [0, 1])
        expect(await readers[which]?.next(got[which]?.subarray(done, done + 49_152) as Buffer)).toBe(49_152);
    }
    for (const which of [0, 1]) {
      const { offset, length } = ranges[which] as { offset: number; length: number };
      expect(got[which]?.equals(disk.subarray(offset, offset + length))).toBe(true);
    }
    const [first, second] = await Promise.all(ranges.map((range) => readChunk(source, range)));
    expect(Buffer.concat([first as Buffer, second as Buffer]).equals(disk.subarray(0, 3 * MiB))).toBe(true);
  });

  test('a strong ETag is a strong version; a date alone is a weak one', async () => {
    const strong = await open(`${plain}/disk.img`);
    expect(strong.version).toEqual({
      strength: 'strong',
      value: expect.stringMatching(/^etag "[0-9a-f]+-[0-9a-f]+"$/),
    });
    const weak = await open(`${dateOnly}/disk.img`);
    expect(weak.version).toEqual({ strength: 'weak', value: expect.stringMatching(/^modified .* GMT size 3145733$/) });
    expect(strong.mode).toBeUndefined();
    expect(strong.extents).toBeUndefined();
  });

  test('another thread attaches to an opened source from its plain ref', async () => {
    for (const server of [plain, dateOnly]) {
      const opened = await open(`${server}/disk.img`);
      const source = attachHttpSource(structuredClone(opened.ref));
      expect(source).toMatchObject({ size: disk.length, version: opened.version, name: opened.name, ref: opened.ref });
      expect((await readChunk(source, { offset: 5, length: 9 })).equals(disk.subarray(5, 14))).toBe(true);
      await source.assertUnchanged();
    }
  });

  test('an empty file has size 0 and a version, and stays provable', async () => {
    const source = await open(`${plain}/empty.img`);
    expect(source).toMatchObject({ size: 0, version: { strength: 'strong' } });
    await source.assertUnchanged();
  });

  test('a file of one byte can be read', async () => {
    const source = await open(`${plain}/one.img`);
    expect((await readChunk(source, { offset: 0, length: 1 })).toString()).toBe('x');
  });

  test('a missing file is named as missing', async () => {
    const error = await failure(open(`${plain}/nothing.img`));
    expect(error).toMatchObject({ code: 'E_SOURCE_MISSING', retryable: false });
    expect(error.message).toContain(`${plain}/nothing.img`);
  });

  test('a large file without ranges is refused, with the reason, unless one stream is allowed', async () => {
    const size = 8 * MiB + 1;
    await writeFile(join(folder, 'large.img'), Buffer.concat([disk, Buffer.alloc(size - disk.length)]));
    const error = await failure(open(`${rangeless}/large.img`));
    expect(error).toMatchObject({ code: 'E_NO_RANGES', retryable: false });
    expect(error.message).toContain('answered a range with the whole file');
    expect(error.detail.hint).toContain('resumed');
    expect(error.detail.hint).toContain('--no-resume-ok');
    const source = await open(`${rangeless}/large.img`, undefined, { noResumeOk: true });
    expect(source).toMatchObject({ oneChunk: true, size, version: { strength: 'strong' } });
    const whole = await readChunk(source, { offset: 0, length: size });
    expect(whole.subarray(0, disk.length).equals(disk)).toBe(true);
  });

  test('a small file needs no ranges: any part of it is read from a GET of the whole', async () => {
    const source = await open(`${rangeless}/disk.img`);
    expect(source).toMatchObject({ oneChunk: true, size: disk.length });
    for (const [offset, length] of [
      [0, disk.length],
      [MiB + 5, 100],
      [disk.length - 7, 7],
      [0, 1],
    ] as const) {
      const bytes = await readChunk(attachHttpSource(structuredClone(source.ref)), { offset, length });
      expect(bytes.equals(disk.subarray(offset, offset + length)), `${length} bytes at ${offset}`).toBe(true);
    }
    await source.assertUnchanged();
  });

  test('redirects are followed, and the given location stays the name', async () => {
    const source = await open(`${plain}/moved`);
    expect(source.name).toBe(`${plain}/moved`);
    expect(source.ref).toMatchObject({ url: `${plain}/moved`, finalUrl: `${plain}/disk.img` });
    expect((await readChunk(source, { offset: MiB, length: 10 })).equals(disk.subarray(MiB, MiB + 10))).toBe(true);
  });

  test('a file replaced between two chunks is a changed source, by its ETag', async () => {
    const name = await fileNamed('etag.img', disk.subarray(0, MiB));
    const source = await open(`${plain}/${name}`);
    await readChunk(source, { offset: 0, length: 1000 });
    await writeFile(join(folder, 'new'), someBytes(MiB, 2));
    await rename(join(folder, 'new'), join(folder, name));
    expect(await failure(readChunk(source, { offset: 1000, length: 1000 }))).toMatchObject({
      code: 'E_SOURCE_CHANGED',
      retryable: false,
    });
    expect((await failure(source.assertUnchanged())).code).toBe('E_SOURCE_CHANGED');
  });

  test('a file replaced between two chunks is a changed source, by its date', async () => {
    const name = await fileNamed('date.img', disk.subarray(0, MiB));
    const source = await open(`${dateOnly}/${name}`);
    await source.assertUnchanged();
    await writeFile(join(folder, name), someBytes(MiB, 3));
    expect((await failure(readChunk(source, { offset: 0, length: 1000 }))).code).toBe('E_SOURCE_CHANGED');
    expect((await failure(source.assertUnchanged())).code).toBe('E_SOURCE_CHANGED');
  });

  test('a file that grew is a changed source even when its date says nothing', async () => {
    const name = await fileNamed('grown.img', disk.subarray(0, MiB));
    const source = await open(`${dateOnly}/${name}`);
    await fileNamed(name, disk.subarray(0, MiB + 1));
    expect((await failure(readChunk(source, { offset: 0, length: 1000 }))).message).toContain(
      '1048576 bytes and has 1048577',
    );
    expect((await failure(source.assertUnchanged())).code).toBe('E_SOURCE_CHANGED');
  });

  test('https is read when its certificate is trusted, and refused by name when it is not', async () => {
    const trusting = newClient({ ca: await readFile(join(folder, 'cert.pem')) });
    const source = await open(`${secure}/disk.img`, trusting);
    expect(source.ref.scheme).toBe('http');
    expect((await readChunk(source, { offset: 0, length: 2 * MiB })).equals(disk.subarray(0, 2 * MiB))).toBe(true);
    const error = await failure(open(`${secure}/disk.img`));
    expect(error.code).toBe('E_NETWORK');
    expect(error.message).toContain('certificate is not trusted');
    expect(error.detail.hint).toContain('NODE_EXTRA_CA_CERTS');
  });

  test('https gives the right bytes to a reader that takes its time, though the server may be gone', async () => {
    const client = newClient({ ca: await readFile(join(folder, 'cert.pem')) });
    for (const server of [secure, secureOnce]) {
      const source = await open(`${server}/disk.img`, client);
      for (const length of [disk.length, 30_000]) {
        const reader = source.openChunk({ offset: 0, length }, never);
        const block = Buffer.alloc(5000);
        for (let done = 0; done < length; ) {
          const count = await reader.next(block);
          await nextTurn();
          expect(block.subarray(0, count).equals(disk.subarray(done, done + count)), `block at ${done}`).toBe(true);
          done += count;
        }
        reader.close();
      }
    }
  });

  test('a stopped job leaves a slow read at once', async () => {
    const source = await open(`${slow}/disk.img`);
    const stop = new AbortController();
    const reader = source.openChunk({ offset: 0, length: disk.length }, stop.signal);
    await reader.next(new Uint8Array(1000));
    const pending = failure(readOn(reader, disk.length - 1000));
    stop.abort();
    expect(await pending).toMatchObject({ code: 'E_STOPPED', message: 'stopped' });
    expect((await failure(readOn(reader, 1))).code).toBe('E_STOPPED');
    reader.close();
  });

  test('after closeHttp the next read makes new connections', async () => {
    const source = await open(`${plain}/disk.img`);
    await closeHttp();
    const again = attachHttpSource(source.ref);
    expect((await readChunk(again, { offset: 0, length: 10 })).equals(disk.subarray(0, 10))).toBe(true);
  });
});

test('a host that does not answer is a network error that may be tried again', async () => {
  expect(await failure(open('http://127.0.0.1:1/disk.img'))).toMatchObject({ code: 'E_NETWORK', retryable: true });
  expect((await failure(open('http://host.invalid/disk.img'))).code).toBe('E_NETWORK');
});

test('a location that is no http URL, or has a password that cannot be read, is a usage error', async () => {
  const location = { scheme: 'http', text: 'http:', name: 'http:' };
  expect(
    (
      await failure(
        Promise.resolve().then(() =>
          attachHttpSource({ scheme: 'http', url: 'ftp://h/f', access: { tls: {} } } as never),
        ),
      )
    ).code,
  ).toBe('E_USAGE');
  expect((await failure(open('http://user:50%zz@h/f'))).message).not.toContain('50%zz');
  const { openHttpSource } = await import('../../../src/endpoint/http.js');
  expect((await failure(openHttpSource(location))).code).toBe('E_USAGE');
});
