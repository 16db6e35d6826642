import dns from 'node:dns';
import { expect, test, vi } from 'vitest';
import type { EndpointRef, Source } from '../../src/core/endpoint.js';
import { KiB, MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { s3Scheme } from '../../src/endpoint/s3.js';
import { codeOf, memorySource, never, readChunk, readLocation } from '../support/reading.js';
import { BUCKET, ceph, getObject, NEEDS_CEPH, needCeph, putObject } from '../support/s3-bucket.js';
import { Seeded } from '../support/seeded.js';
import { spoilingProxy } from '../support/spoiling-proxy.js';
import { sourceContract } from './source-contract.js';
import { targetContract } from './target-contract.js';

const CHUNK = 5 * MiB;
const SIZE = 700 * KiB + 33;
const scheme = s3Scheme();
const at = (key: string) => parseLocation(`s3://${BUCKET}/${key}`);

sourceContract('an object of a Ceph gateway', async () => {
  const one = await ceph();
  if (!one) return NEEDS_CEPH;
  const bytes = new Seeded(31).bytes(SIZE);
  await putObject(one, 'source/disk.img', bytes);
  const change = () => putObject(one, 'source/disk.img', new Seeded(32).bytes(SIZE));
  return { scheme, location: at('source/disk.img'), bytes, missing: at('source/none'), change };
}, ['extents']);

let targets = 0;
targetContract('an object of a Ceph gateway', async () => {
  const one = await ceph();
  if (!one) return NEEDS_CEPH;
  const key = `target-${++targets}/disk.img`;
  return { scheme, location: at(key), chunkBytes: CHUNK, read: () => getObject(one, key) };
}, ['places', 'reading-back', 'seen-partial']);

/** Copies all bytes of a target in chunks of 5 MiB, and gives it its name. */
async function write(key: string, bytes: Buffer): Promise<void> {
  const location = { ...at('unused'), text: `s3://${BUCKET}/${encodeURIComponent(key)}` };
  const site = await scheme.locateTarget?.(location, 'unused');
  if (!site) throw new Error('no target');
  const source = memorySource(bytes);
  const layout = await scheme.layOutTarget?.(source, site.ref, CHUNK);
  const request = { size: bytes.length, partial: 'create', sync: true, ...(layout && { layout }) } as const;
  const prepared = await scheme.prepareTarget?.(site.ref, request);
  const target = await scheme.attachTarget?.(prepared?.ref as EndpointRef);
  for (let offset = 0; offset < bytes.length; offset += CHUNK) {
    const block = bytes.subarray(offset, offset + CHUNK);
    const writer = target?.openChunk({ offset, length: block.length }, never);
    await writer?.write(block);
    await writer?.finish(new Uint8Array(8));
  }
  await target?.commit({ overwrite: false, sync: true });
}

const KEYS = [
  'plain',
  'space + plus',
  `quotes ' " & <xml>`,
  'ümläut-日本',
  'a/b//c',
  'percent %25',
  '~(tilde)*!$',
  '#?',
];

test.for(KEYS)('a key is written and read as it is, whatever its characters: %s', async (key, context) => {
  const one = await needCeph(context);
  const bytes = new Seeded(33).bytes(1000);
  await write(key, bytes);
  expect((await getObject(one, key))?.equals(bytes)).toBe(true);
  expect((await readLocation(scheme, at(encodeURIComponent(key)))).equals(bytes)).toBe(true);
});

test('an empty object is copied in both directions', async (context) => {
  const one = await needCeph(context);
  await write('empty', Buffer.alloc(0));
  expect(await getObject(one, 'empty')).toEqual(Buffer.alloc(0));
  expect(await readLocation(scheme, at('empty'))).toEqual(Buffer.alloc(0));
  expect(await codeOf(() => write('empty', Buffer.alloc(0)))).toBe('E_TARGET_EXISTS');
});

test('the server itself refuses a part whose bytes were changed on their way', async (context) => {
  const one = await needCeph(context);
  const proxy = await spoilingProxy(one.endpoint, 300 * KiB);
  const site = await scheme.locateTarget?.(at(`spoilt?endpoint=${proxy.url}`), '');
  const layout = await scheme.layOutTarget?.(memorySource(new Uint8Array(MiB)), site?.ref as EndpointRef, CHUNK);
  const request = { size: MiB, partial: 'create', sync: true, ...(layout && { layout }) } as const;
  const prepared = await scheme.prepareTarget?.(site?.ref as EndpointRef, request);
  const target = await scheme.attachTarget?.(prepared?.ref as EndpointRef);
  const send = async (): Promise<unknown> => {
    const writer = target?.openChunk({ offset: 0, length: MiB }, never);
    await writer?.write(new Uint8Array(MiB));
    return writer?.finish(new Uint8Array(8));
  };
  proxy.spoil = true;
  const code = await codeOf(send);
  expect(code).toBe('E_TARGET_WRITE');
  proxy.spoil = false;
  expect(await send()).toMatch(/^[0-9a-f]{32}$/);
  await proxy.stop();
});

test('the source is bound to its version: a chunk of a changed object is refused, never mixed in', async (context) => {
  const one = await needCeph(context);
  await putObject(one, 'changing', new Seeded(34).bytes(100_000));
  const source = (await scheme.openSource?.(at('changing'))) as Source;
  await readChunk(source, { offset: 0, length: 50_000 });
  await putObject(one, 'changing', new Seeded(35).bytes(100_000));
  expect(await codeOf(() => readChunk(source, { offset: 50_000, length: 50_000 }))).toBe('E_SOURCE_CHANGED');
});

const REFUSALS: readonly (readonly [string, string, string])[] = [
  ['no-such-bucket/key', 'E_SOURCE_MISSING', 'NoSuchBucket'],
  [`${BUCKET}/none`, 'E_SOURCE_MISSING', 'NoSuchKey'],
  [`${BUCKET}/source/disk.img?anonymous=true`, 'E_AUTH', 'AccessDenied'],
];

test.for(REFUSALS)('a refusal is told by its reason: s3://%s is %s', async ([path, code, word], context) => {
  await needCeph(context);
  const error = await Promise.resolve(scheme.openSource?.(parseLocation(`s3://${path}`))).catch((thrown) => thrown);
  expect(error).toMatchObject({ code, message: expect.stringContaining(word) });
  expect(error.message).toContain(`s3://${path.replace(/\?.*/, '')}`);
});

test('a wrong secret is told as that, with the clock as the other reason, and is not repeated', async (context) => {
  await needCeph(context);
  const { AWS_SECRET_ACCESS_KEY } = process.env;
  process.env.AWS_SECRET_ACCESS_KEY = 'another-secret';
  try {
    const error = await Promise.resolve(scheme.openSource?.(at('plain'))).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('clock') });
    expect(JSON.stringify(error)).not.toMatch(/another-secret|Signature=|TESTKEY/);
  } finally {
    process.env.AWS_SECRET_ACCESS_KEY = AWS_SECRET_ACCESS_KEY;
  }
});

test('an object that everybody may read is read without credentials', async (context) => {
  const one = await needCeph(context);
  const bytes = new Seeded(36).bytes(10_000);
  await putObject(one, 'public', bytes, { 'x-amz-acl': 'public-read' });
  expect((await readLocation(scheme, at('public?anonymous=true'))).equals(bytes)).toBe(true);
});

test('an object that was stored with a content encoding is read as it is stored', async (context) => {
  const one = await needCeph(context);
  const bytes = new Seeded(38).bytes(10_000);
  await putObject(one, 'disk.gz', bytes, { 'content-encoding': 'gzip' });
  expect((await readLocation(scheme, at('disk.gz'))).equals(bytes)).toBe(true);
});

test('a version of a source is read as it was, whatever came later', async (context) => {
  const one = await needCeph(context);
  await one.makeBucket('versioned');
  const url = `${one.endpoint}/versioned`;
  const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
  await one.client.fetch(`${url}?versioning=`, { method: 'PUT', body });
  const old = new Seeded(37).bytes(5000);
  const version = (
    await one.client.fetch(`${url}/key`, { method: 'PUT', body: old as Uint8Array<ArrayBuffer> })
  ).headers.get('x-amz-version-id');
  await one.client.fetch(`${url}/key`, { method: 'PUT', body: 'new' });
  const location = parseLocation(`s3://versioned/key?version=${version}`);
  expect((await readLocation(scheme, location)).equals(old)).toBe(true);
});

test('the name of the bucket may go before the host', async (context) => {
  const one = await needCeph(context);
  const lookup = vi
    .spyOn(dns, 'lookup')
    .mockImplementation(((
      _name: string,
      _options: unknown,
      found: (error: null, addresses: readonly dns.LookupAddress[]) => void,
    ) => found(null, [{ address: '127.0.0.1', family: 4 }])) as never);
  context.onTestFinished(() => lookup.mockRestore());
  const endpoint = `http://s3.test:${new URL(one.endpoint).port}`;
  const location = at(`source/disk.img?endpoint=${endpoint}&style=host`);
  expect((await readLocation(scheme, location)).length).toBe(SIZE);
  expect(lookup.mock.calls[0]?.[0]).toBe(`${BUCKET}.s3.test`);
});
