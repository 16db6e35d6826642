import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { EndpointRef, Source } from '../../../../src/core/endpoint.js';
import type { TransferError } from '../../../../src/core/errors.js';
import type { Target, TargetLayout } from '../../../../src/core/target.js';
import { MiB } from '../../../../src/core/units.js';
import { closeHttp } from '../../../../src/endpoint/http/client.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { closeS3 } from '../../../../src/endpoint/s3/client.js';
import { s3Scheme } from '../../../../src/endpoint/s3.js';
import { errorDocument, type FakeS3, listPage, partLine, serveFakeS3 } from '../../../support/fake-s3.js';
import { startForwardProxy } from '../../../support/forward-proxy.js';
import { codeOf, memorySource, never, readChunk } from '../../../support/reading.js';

const CHUNK = 5 * MiB;
const SIZE = 2 * CHUNK + 1000;
const scheme = s3Scheme() as Required<ReturnType<typeof s3Scheme>>;
const bytes = Buffer.alloc(SIZE, 7);
const scratch = mkdtempSync(join(tmpdir(), 's3-odd-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let fake: FakeS3;
beforeEach(async () => {
  fake = await serveFakeS3();
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'very-secret-key');
  vi.stubEnv('AWS_SESSION_TOKEN', 'very-secret-token');
  vi.stubEnv('AWS_ENDPOINT_URL', fake.endpoint);
});
afterEach(async () => {
  await closeHttp();
  await closeS3();
  await fake.stop();
  vi.unstubAllEnvs();
});

const at = (text = 's3://bucket/key') => parseLocation(text);
const errorOf = (work: Promise<unknown>): Promise<TransferError> =>
  work.then(
    () => expect.fail('no error'),
    (thrown) => thrown,
  );

interface Begun {
  readonly ref: EndpointRef;
  readonly layout: TargetLayout;
  readonly target: Target;
}

async function begin(): Promise<Begun> {
  const { ref } = await scheme.locateTarget(at(), 'key');
  const layout = await scheme.layOutTarget(memorySource(bytes), ref, CHUNK);
  const prepared = await scheme.prepareTarget(ref, { size: SIZE, layout, partial: 'create', sync: true });
  return { ref, layout, target: await scheme.attachTarget(prepared.ref) };
}

async function send(target: Target, chunk: number): Promise<unknown> {
  const offset = chunk * CHUNK;
  const part = bytes.subarray(offset, offset + CHUNK);
  const writer = target.openChunk({ offset, length: part.length }, never);
  try {
    for (let from = 0; from < part.length; from += 200_000) await writer.write(part.subarray(from, from + 200_000));
    return await writer.finish(new Uint8Array(8));
  } catch (thrown) {
    writer.abort();
    throw thrown;
  }
}

async function sendAll(target: Target): Promise<void> {
  for (let chunk = 0; chunk * CHUNK < SIZE; chunk++) await send(target, chunk);
}

const commit = { overwrite: false, sync: true } as const;

test('a good server gets the whole object, and is asked not to replace another one', async () => {
  const { target } = await begin();
  await sendAll(target);
  await target.commit(commit);
  expect(fake.object?.equals(bytes)).toBe(true);
  const last = fake.asked.find(({ method, query }) => method === 'POST' && query.has('uploadId'));
  expect(last?.headers['if-none-match']).toBe('*');
  expect(fake.asked.every(({ headers }) => headers['x-amz-security-token'] === 'very-secret-token')).toBe(true);
});

test('an upload goes through the proxy that the environment names, which may want to know who asks', async () => {
  const proxy = await startForwardProxy('who:hidden');
  onTestFinished(proxy.stop);
  vi.stubEnv('no_proxy', 'elsewhere.test');
  vi.stubEnv('http_proxy', `http://who:hidden@${proxy.host}`);
  const { target } = await begin();
  await sendAll(target);
  await target.commit(commit);
  expect(fake.object?.equals(bytes)).toBe(true);
  expect(proxy.asked).toHaveLength(fake.asked.length);
  vi.stubEnv('http_proxy', `http://who:else@${proxy.host}`);
  expect(await errorOf(begin())).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('HTTP_PROXY') });
});

test('a part that the server is too busy for is tried again when the server says', async () => {
  const { target } = await begin();
  fake.script = () => ({ status: 503, headers: { 'retry-after': '7' }, body: errorDocument('SlowDown') });
  const error = await errorOf(send(target, 0));
  expect(error).toMatchObject({ code: 'E_UNAVAILABLE', detail: { retryAfterMs: 7000 } });
});

test('an answer in the middle of a part ends the part at once, with the reason of the server', async () => {
  const { target } = await begin();
  fake.script = ({ method }) =>
    method === 'PUT' ? { status: 403, body: errorDocument('AccessDenied'), early: true } : undefined;
  const error = await errorOf(send(target, 0));
  expect(['E_AUTH', 'E_NETWORK']).toContain(error.code);
  fake.script = () => undefined;
  expect(await send(target, 0)).toBe('part-1');
});

test('a part that the server takes before it has got all of it is not taken', async () => {
  const { target } = await begin();
  fake.script = ({ method }) => (method === 'PUT' ? { headers: { etag: '"early"' }, early: true } : undefined);
  expect(await codeOf(() => send(target, 0))).not.toBe('no error');
});

test('a request that only begins, changes nothing and is refused for a moment is tried again', async () => {
  let refusals = 0;
  fake.script = () => (refusals++ < 2 ? { status: 500, body: errorDocument('InternalError') } : undefined);
  const { target } = await begin();
  await sendAll(target);
  await target.commit(commit);
  expect(fake.object?.equals(bytes)).toBe(true);
});

test('an error in the body of a 200 is no commit: it is tried again, and the object then counts', async () => {
  const { target } = await begin();
  await sendAll(target);
  let commits = 0;
  const isCommit = (method: string, query: URLSearchParams): boolean => method === 'POST' && query.has('uploadId');
  fake.script = ({ method, query }) =>
    isCommit(method, query) && commits++ === 0 ? { body: `  \n${errorDocument('InternalError')}` } : undefined;
  await target.commit(commit);
  expect(commits).toBe(2);
  expect(fake.object?.equals(bytes)).toBe(true);
});

test('an error in the body of a 200 that stays gives the object no name', async () => {
  const { target } = await begin();
  await sendAll(target);
  fake.script = ({ method }) => (method === 'POST' ? { body: errorDocument('InvalidPart') } : undefined);
  expect(await codeOf(() => target.commit(commit))).toBe('E_TARGET_CHANGED');
  expect(fake.object).toBeUndefined();
});

test('a commit of which the answer was lost counts, if the object is ours', async () => {
  const { target } = await begin();
  await sendAll(target);
  fake.script = ({ method, query }) => {
    if (method !== 'POST' || !query.has('uploadId')) return undefined;
    fake.object = bytes;
    return { status: 404, body: errorDocument('NoSuchUpload') };
  };
  await target.commit(commit);
});

test('a server that refuses to replace what came in the last moment is believed', async () => {
  const { target } = await begin();
  await sendAll(target);
  fake.script = ({ method }) =>
    method === 'POST' ? { status: 412, body: errorDocument('PreconditionFailed') } : undefined;
  expect(await codeOf(() => target.commit(commit))).toBe('E_TARGET_EXISTS');
});

test('a server that knows no condition for a commit gets it without one, after a last look', async () => {
  const { target } = await begin();
  await sendAll(target);
  fake.script = ({ method, headers }) =>
    method === 'POST' && headers['if-none-match'] ? { status: 501, body: errorDocument('NotImplemented') } : undefined;
  expect(await target.commit(commit)).toEqual([expect.stringContaining('may replace')]);
  expect(fake.object?.equals(bytes)).toBe(true);
});

test('a conflict with somebody else at the commit is no object that exists: it is tried again', async () => {
  const { target } = await begin();
  await sendAll(target);
  let commits = 0;
  fake.script = ({ method }) =>
    method === 'POST' && commits++ === 0
      ? { status: 409, body: errorDocument('ConditionalRequestConflict') }
      : undefined;
  await target.commit(commit);
  expect(commits).toBe(2);
});

test('an object that is shorter than what was sent is not called a copy', async () => {
  const { target } = await begin();
  await sendAll(target);
  fake.script = ({ method, query }) => {
    if (method !== 'POST' || !query.has('uploadId')) return undefined;
    fake.object = bytes.subarray(1);
    return { body: '<CompleteMultipartUploadResult/>' };
  };
  expect(await codeOf(() => target.commit(commit))).toBe('E_TARGET_CHANGED');
});

test.each([
  ['is cut short', () => listPage(partLine(1, CHUNK)).slice(0, 60)],
  ['leads to itself', () => listPage(partLine(1, CHUNK), '1')],
  ['leads back', () => listPage(partLine(2, CHUNK), '1')],
  ['leads beyond all parts', () => listPage('', '99999999')],
  ['counts backwards', () => listPage(partLine(2, CHUNK) + partLine(1, CHUNK))],
  ['has a part of no size', () => listPage(partLine(1, Number.NaN))],
  ['is another document', () => '<ListBucketResult/>'],
  ['brings entities of its own', () => `<!DOCTYPE x [<!ENTITY a "b">]>${listPage('')}`],
  ['has no end', () => `<ListPartsResult>${' '.repeat(3 * MiB)}`],
  ['is deeper than it is wide', () => `<ListPartsResult>${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}</ListPartsResult>`],
])('a list of parts that %s is refused', async (_what, body) => {
  const { ref, layout } = await begin();
  fake.script = ({ query }) => (query.has('max-parts') ? { body: body() } : undefined);
  const reopen = scheme.prepareTarget(ref, { size: SIZE, layout, partial: 'reopen', sync: true });
  expect((await errorOf(reopen)).code).toBe('E_PROTOCOL');
});

test('a list of many pages is read to its end', async () => {
  const { target } = await begin();
  await sendAll(target);
  const pages = [listPage(partLine(1, CHUNK), '1'), listPage(partLine(2, CHUNK), '2'), listPage(partLine(3, 1000))];
  const markers = [null, '1', '2'];
  fake.script = ({ query }) =>
    query.has('max-parts') ? { body: pages[markers.indexOf(query.get('part-number-marker'))] ?? '' } : undefined;
  await target.commit(commit);
  expect(fake.object?.equals(bytes)).toBe(true);
});

test('a list of parts that could not be had at first is had when it is asked for again', async () => {
  const { target } = await begin();
  const token = (await send(target, 0)) as string;
  const holds = () =>
    target.holds?.({ offset: 0, length: CHUNK }, { algorithm: 'xxh64', digest: new Uint8Array(8), token }, never);
  fake.script = () => ({ status: 403, body: errorDocument('ExpiredToken') });
  expect(await codeOf(async () => holds())).toBe('E_AUTH');
  fake.script = () => undefined;
  expect(await holds()).toBe(true);
});

test('a source whose ETag changes between two chunks is told, not mixed', async () => {
  fake.object = bytes;
  const source: Source = await scheme.openSource(at());
  await readChunk(source, { offset: 0, length: CHUNK });
  fake.script = ({ headers }) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const range = { etag: '"v2"', 'content-range': `bytes ${first}-${last}/${SIZE}` };
    return { status: 206, headers: range, body: bytes.subarray(Number(first), Number(last) + 1) };
  };
  expect(await codeOf(() => readChunk(source, { offset: CHUNK, length: CHUNK }))).toBe('E_SOURCE_CHANGED');
});

test.each([
  [301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-3' }, 'E_USAGE', 'region=eu-west-3'],
  [400, 'AuthorizationHeaderMalformed', {}, 'E_USAGE', 'region=ap-south-1'],
  [403, 'InvalidObjectState', {}, 'E_SOURCE_ACCESS', 'restored'],
  [403, 'RequestTimeTooSkewed', {}, 'E_AUTH', 'clock'],
  [400, 'ExpiredToken', {}, 'E_AUTH', 'credentials'],
  [404, 'NoSuchVersion', {}, 'E_SOURCE_MISSING', 'version'],
])('a chunk that is answered with %i %s says what to do', async (status, code, headers, expected, hint) => {
  fake.object = bytes;
  const source: Source = await scheme.openSource(at());
  const document = errorDocument(code, '<Region>ap-south-1</Region><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId>');
  fake.script = () => ({ status, headers, body: document });
  const error = await errorOf(readChunk(source, { offset: 0, length: 1000 }));
  expect(error).toMatchObject({ code: expected, hint: expect.stringContaining(hint) });
  expect(error.message).toContain('s3://bucket/key');
  expect(JSON.stringify(error.toJSON())).not.toMatch(/secret|AKIDEXAMPLE|Signature=/);
});

test('without any credentials that is what the error says', async () => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) vi.stubEnv(name, '');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  for (const name of ['AWS_SHARED_CREDENTIALS_FILE', 'AWS_CONFIG_FILE']) vi.stubEnv(name, join(scratch, 'none'));
  const error = await errorOf(scheme.openSource(at()));
  expect(error).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('anonymous=true') });
  expect(fake.asked).toHaveLength(0);
});

test('a profile of the shared files wins over the environment', async () => {
  const file = join(scratch, 'credentials');
  writeFileSync(file, '[other]\naws_access_key_id = OTHERKEY\naws_secret_access_key = other\n', { mode: 0o600 });
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file);
  vi.stubEnv('AWS_CONFIG_FILE', join(scratch, 'none'));
  fake.object = bytes;
  await scheme.openSource(at('s3://bucket/key?profile=other'));
  expect(fake.asked[0]?.headers.authorization).toContain('Credential=OTHERKEY/');
});
