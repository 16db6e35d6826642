import { chmodSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ServiceClient } from '../../../src/daemon/client.js';
import { ask, LOOPBACK, startTestControl, type TestControl } from '../../support/control.js';

let control: TestControl;
let admin: string;
let anna: string;
let bert: string;
const body = JSON.stringify({ files: [{ source: '/a', target: '/b' }] });

beforeAll(async () => {
  control = await startTestControl({ http: { ...LOOPBACK, names: ['Backup.Example'] } });
  admin = await control.token('boss', 'admin');
  anna = await control.token('anna', 'jobs');
  bert = await control.token('bert', 'jobs', 'read');
});

afterAll(() => control.stop());

const at = (path: string): string => `${control.url}${path}`;
const newJob = async (token: string): Promise<string> =>
  (await ask(at('/v1/jobs'), { method: 'POST', token, body })).json.id as string;

test.each(['/v1/service', '/v1/jobs', '/v1/events', '/v1/policy', '/v1/openapi.json', '/metrics', '/v1/nothing'])(
  'without a token %s is refused over HTTP',
  async (path) => {
    const { status, json, headers } = await ask(at(path));
    expect([status, json.error?.code]).toEqual([401, 'E_AUTH']);
    expect(headers['www-authenticate']).toBe('Bearer');
  },
);

test('a token that is unknown, or was removed, is refused', async () => {
  const gone = await control.token('gone', 'admin');
  expect((await ask(at('/v1/service'), { token: gone })).status).toBe(200);
  await control.forget('gone');
  for (const token of [gone, 'bft_unknown', '']) {
    expect((await ask(at('/v1/service'), { token })).status).toBe(401);
  }
});

test('a token for files alone is for no jobs', async () => {
  const token = await control.token('peer', 'read', 'write');
  const { status, json } = await ask(at('/v1/jobs'), { token });
  expect([status, json.error?.code]).toEqual([403, 'E_FORBIDDEN']);
});

test("another owner's job looks like no job, whatever is asked of it", async () => {
  const id = await newJob(anna);
  const asked: readonly (readonly [string, string, string?])[] = [
    ...([
      ['GET', ''],
      ['GET', '/why'],
      ['GET', '/files/0/map'],
      ['PATCH', '', '{}'],
    ] as const),
    ...([
      ['POST', '/suspend'],
      ['POST', '/resume'],
      ['POST', '/complete'],
    ] as const),
    ...([
      ['POST', '/cancel', '{"keepPartial":true}'],
      ['POST', '/files', body],
    ] as const),
    ['POST', '/replace-prefix', '{"from":"/a","to":"/b"}'],
  ];
  for (const [method, rest, sent] of asked) {
    const one = { method, token: bert, ...(sent !== undefined && { body: sent }) };
    const foreign = await ask(at(`/v1/jobs/${id}${rest}`), one);
    const unknown = await ask(at(`/v1/jobs/${id.replaceAll(/./g, '0')}${rest}`), one);
    expect([method, rest, foreign.status]).toEqual([method, rest, 404]);
    expect(foreign.text).toBe(unknown.text.replaceAll(id.replaceAll(/./g, '0'), id));
  }
  expect((await ask(at('/v1/jobs'), { token: bert })).json.jobs).toEqual([]);
  expect((await ask(at(`/v1/jobs/${id}`), { token: anna })).json.owner).toBe('anna');
  expect((await ask(at(`/v1/jobs/${id}`), { token: admin })).status).toBe(200);
});

test('an owner neither sets the policy nor has commands run', async () => {
  const policy = { method: 'PUT', token: anna, body: 'jobs-at-once = 1', headers: { 'content-type': 'text/plain' } };
  expect((await ask(at('/v1/policy'), policy)).json.error?.code).toBe('E_FORBIDDEN');
  const id = await newJob(anna);
  const notify = JSON.stringify({ notify: ['/bin/true'] });
  expect((await ask(at(`/v1/jobs/${id}`), { method: 'PATCH', token: anna, body: notify })).status).toBe(403);
  expect((await ask(at(`/v1/jobs/${id}`), { method: 'PATCH', token: admin, body: notify })).status).toBe(200);
});

test.each([
  ['evil.example', 403],
  ['evil.example:7422', 403],
  ['127.0.0.1.evil.example', 403],
  ['localhost', 200],
  ['127.0.0.1:1', 200],
  ['[::1]:7422', 200],
  ['backup.example:7422', 200],
])('the Host header %s is answered with %i, so that no foreign name is led here', async (host, status) => {
  expect((await ask(at('/v1/service'), { token: admin, headers: { host } })).status).toBe(status);
});

test.each([
  [{ origin: 'https://evil.example' }, 403],
  [{ origin: 'null' }, 403],
  [{ origin: 'http://127.0.0.1:1' }, 403],
  [{ 'sec-fetch-site': 'cross-site' }, 403],
  [{ 'sec-fetch-site': 'same-site' }, 403],
  [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 200],
  [{ 'sec-fetch-site': 'same-origin' }, 200],
  [{ 'sec-fetch-site': 'none' }, 200],
])('a request with %o is answered with %i', async (headers, status) => {
  expect((await ask(at('/v1/service'), { token: admin, headers })).status).toBe(status);
  const { socketPath } = control;
  expect((await ask({ socketPath, path: '/v1/service' }, { headers })).status).toBe(status);
});

test('a browser gets a session for a token, and only its own page can use it', async () => {
  const opened = await ask(at('/v1/session'), { method: 'POST', token: anna });
  expect([opened.status, opened.json]).toEqual([200, { name: 'anna', admin: false }]);
  const [set = ''] = opened.headers['set-cookie'] as string[];
  expect(set).toMatch(/^blockferry-\d+=[^;]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
  expect(set).not.toContain(anna);
  const cookie = set.split(';')[0] as string;
  const origin = control.url;
  expect((await ask(at('/v1/service'), { headers: { cookie: `other=1; ${cookie}` } })).status).toBe(200);
  const posted = (headers: Record<string, string>) => ask(at('/v1/jobs'), { method: 'POST', body, headers });
  expect((await posted({ cookie, origin })).status).toBe(201);
  expect((await posted({ cookie })).status).toBe(401);
  expect((await posted({ cookie, origin: 'http://127.0.0.1:9' })).status).toBe(403);
  const closed = await ask(at('/v1/session'), { method: 'DELETE', headers: { cookie, origin } });
  expect([closed.status, closed.headers['set-cookie']]).toEqual([204, [expect.stringMatching(/=; .*Max-Age=0/)]]);
});

test('a session outlives a start of the service, and ends with its token', async () => {
  const token = await control.token('carl', 'jobs');
  const opened = await ask(at('/v1/session'), { method: 'POST', token });
  const cookie = (opened.headers['set-cookie'] as string[])[0]?.split(';')[0] as string;
  await control.restart();
  expect((await ask(at('/v1/jobs'), { headers: { cookie } })).status).toBe(200);
  const forged = cookie.replace('carl', 'boss');
  expect((await ask(at('/v1/jobs'), { headers: { cookie: forged } })).status).toBe(401);
  await control.forget('carl');
  await control.token('carl', 'jobs');
  expect((await ask(at('/v1/jobs'), { headers: { cookie } })).status).toBe(401);
});

test('where the file of tokens cannot be read nobody is let in, and nobody outside hears why', async () => {
  const path = join(control.folder, 'tokens.json');
  chmodSync(path, 0o644);
  const { status, json, text } = await ask(at('/v1/service'), { token: admin });
  chmodSync(path, 0o600);
  expect([status, json.error?.code]).toEqual([503, 'E_UNAVAILABLE']);
  expect(text).not.toContain(control.folder);
  expect((await ask(at('/v1/service'), { token: admin })).status).toBe(200);
});

test("a token named as the service's user has not that user's jobs, unless it is an administrator's", async () => {
  const { username } = userInfo();
  const token = await control.token(username, 'jobs');
  for (const asked of [{ token }, { token, method: 'POST' }]) {
    const { status, json } = await ask(at(asked.method ? '/v1/session' : '/v1/jobs'), asked);
    expect([status, json.error?.message]).toEqual([403, expect.stringContaining(`${username} is the service's own`)]);
  }
  await control.forget(username);
  const whole = await control.token(username, 'admin');
  expect((await ask(at('/v1/jobs'), { token: whole })).status).toBe(200);
});

test('an address that cannot be read is refused as everything is, and named', async () => {
  const { port } = new URL(control.url);
  for (const path of ['/%zz', '/v1/jobs/%ff']) {
    const { status, json, headers } = await ask({ host: '127.0.0.1', port, path });
    expect([status, json.error?.code]).toEqual([400, 'E_USAGE']);
    expect(json.error?.message).toContain(path);
    expect(headers['content-security-policy']).toContain("default-src 'none'");
  }
});

test('no session begins without a token', async () => {
  expect((await ask(at('/v1/session'), { method: 'POST' })).status).toBe(401);
  expect((await ask(at('/v1/session'), { method: 'POST', token: 'bft_wrong' })).status).toBe(401);
});

test('every answer tells browsers to keep to this page alone', async () => {
  for (const path of ['/v1/service', '/v1/nothing']) {
    const { headers } = await ask(at(path), { token: admin });
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  }
});

test('the client speaks HTTP with a token, and is told when it is not known', async () => {
  const client = new ServiceClient({ url: control.url, token: bert });
  expect((await client.service()).caller).toEqual({ name: 'bert', admin: false });
  await client.close();
  const stranger = new ServiceClient({ url: control.url, token: 'bft_wrong' });
  await expect(stranger.list()).rejects.toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('token add') });
  await stranger.close();
  expect(() => new ServiceClient({ url: 'http://backup.example', token: bert })).toThrow(/https/);
});
