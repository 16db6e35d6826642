import { afterAll, beforeAll, expect, test } from 'vitest';
import { ServiceClient } from '../../../src/daemon/client.js';
import { ask, startTestControl, type TestControl } from '../../support/control.js';
import { FakeService } from '../../support/fake-service.js';

let control: TestControl;
let client: ServiceClient;
const spec = { files: [{ source: '/a/disk.img', target: '/b/disk.img' }] };

beforeAll(async () => {
  control = await startTestControl();
  client = new ServiceClient({ socketPath: control.socketPath });
});

afterAll(async () => {
  await client.close();
  await control.stop();
});

const post = (path: string, content: unknown) =>
  ask({ socketPath: control.socketPath, path }, { method: 'POST', body: JSON.stringify(content) });

test('over the socket the caller is this user, and an administrator', async () => {
  const { version, caller, load } = await client.service();
  expect(version).toBe('1.2.3');
  expect(caller.admin).toBe(true);
  expect(load.states.queued).toBeGreaterThanOrEqual(0);
});

test('a job is created, listed, changed, and looked at', async () => {
  const made = await client.create({ ...spec, name: 'one', priority: 'low', limitBytesPerSecond: 5 });
  expect(made).toMatchObject({ name: 'one', priority: 'low', state: 'queued', limitBytesPerSecond: 5 });
  expect((await client.list()).map(({ id }) => id)).toContain(made.id);
  expect(await client.change(made.id, { priority: 'high' })).toMatchObject({ priority: 'high' });
  expect((await client.addFiles(made.id, [{ source: '/a/2', target: '/b/2' }])).progress.filesTotal).toBe(2);
  expect((await client.get(made.id)).files.map(({ source }) => source)).toEqual(['/a/disk.img', '/a/2']);
  control.service.explain(made.id, { rule: 'jobs-at-once', behind: ['x'], hint: 'Wait.' });
  expect(await client.why(made.id)).toMatchObject({ state: 'queued', rule: 'jobs-at-once', behind: ['x'] });
});

test('a job is suspended, resumed, completed', async () => {
  const { id } = await client.create({ ...spec, suspended: true });
  expect(await client.resume(id)).toMatchObject({ state: 'queued' });
  expect(await client.suspend(id)).toMatchObject({ state: 'suspended' });
  expect(await client.replacePrefix(id, '/a', '/c')).toBe(1);
  control.service.move(id, 'transferred');
  expect(await client.complete(id)).toMatchObject({ state: 'acknowledged', committed: 1, left: 0 });
  expect((await client.list()).some((job) => job.id === id)).toBe(false);
  expect((await client.list({ all: true })).some((job) => job.id === id)).toBe(true);
  expect((await client.list({ states: ['acknowledged'] })).map((job) => job.id)).toEqual([id]);
});

test('a cancelled job takes no calls any more, and the error says what it takes', async () => {
  const { id } = await client.create(spec);
  expect(await client.cancel(id, { keepPartial: true })).toMatchObject({ state: 'cancelled' });
  const error = await client.resume(id).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'E_JOB_STATE', hint: 'It takes no calls any more.' });
  expect((await post(`/v1/jobs/${id}/resume`, {})).status).toBe(409);
});

test('the chunk map of a file is there while it is copied, and else it is said that it is not', async () => {
  const { id } = await client.create(spec);
  expect(await client.chunkMap(id, 0, 10)).toBeUndefined();
  const counts = { 'to-do': 1, copying: 1, written: 0, recorded: 0, proven: 0, zero: 0, 're-sent': 0 };
  control.service.map(id, 0, { chunks: 2, counts, cells: ['to-do', 'copying'] });
  expect(await client.chunkMap(id, 0, 1)).toEqual({ chunks: 2, counts, cells: ['to-do'] });
  await expect(client.chunkMap('none', 0, 1)).rejects.toMatchObject({ code: 'E_NO_JOB' });
});

test('what is shown has no secrets, even where the service would show them', async () => {
  const webhook = { url: 'https://hook.test/x', secret: 'hidden' };
  const { id } = await client.create({ ...spec, webhook });
  const { text } = await ask({ socketPath: control.socketPath, path: `/v1/jobs/${id}` });
  expect(text).toContain('https://hook.test/x');
  expect(text).not.toContain('hidden');
});

test('a policy that is no TOML is refused with line and column, and the old one stays', async () => {
  const before = await client.policy();
  await expect(client.setPolicy('jobs-at-once = \n')).rejects.toMatchObject({
    code: 'E_POLICY',
    message: expect.stringMatching(/line 1, column \d+/),
  });
  expect(await client.policy()).toEqual(before);
  expect(await client.setPolicy('jobs-at-once = 7\n')).toMatchObject({ jobsAtOnce: 7 });
  expect((await client.policy()).text).toBe('jobs-at-once = 7\n');
});

test.each([
  ['an unknown job', 'GET', '/v1/jobs/none', undefined, 404, 'E_NO_JOB', 'none'],
  ['an unknown path', 'GET', '/v1/nothing', undefined, 404, 'E_USAGE', 'GET /v1/nothing'],
  ['a job without files', 'POST', '/v1/jobs', '{}', 400, 'E_USAGE', 'files'],
  [
    'a priority that is none',
    'POST',
    '/v1/jobs',
    '{"files":[],"priority":"urgent"}',
    400,
    'E_USAGE',
    'foreground, high',
  ],
  ['a setting that is not known', 'POST', '/v1/jobs', '{"files":[],"prority":"low"}', 400, 'E_USAGE', 'prority'],
  ['a number where a text belongs', 'POST', '/v1/jobs', '{"files":[],"name":5}', 400, 'E_USAGE', 'body.name'],
  ['a limit below zero', 'POST', '/v1/jobs', '{"files":[],"limitBytesPerSecond":-1}', 400, 'E_USAGE', '>= 0'],
  ['what is no JSON', 'POST', '/v1/jobs', '{"files":', 400, 'E_USAGE', 'no JSON'],
  ['a key that poisons prototypes', 'POST', '/v1/jobs', '{"__proto__":{"x":1},"files":[]}', 400, 'E_USAGE', 'JSON'],
  ['a body of 2 MiB', 'POST', '/v1/jobs', `"${'x'.repeat(2 << 20)}"`, 413, 'E_USAGE', '1 MiB'],
  ['a state that is none', 'GET', '/v1/jobs?state=gone', undefined, 400, 'E_USAGE', 'state'],
  ['too many cells', 'GET', '/v1/jobs/x/files/0/map?cells=99999', undefined, 400, 'E_USAGE', 'cells'],
  ['a file that is no number', 'GET', '/v1/jobs/x/files/-1/map', undefined, 400, 'E_USAGE', 'index'],
  ['events of an unknown job', 'GET', '/v1/events?job=none', undefined, 404, 'E_NO_JOB', 'none'],
  ['events after what is no number', 'GET', '/v1/events?after=x', undefined, 400, 'E_USAGE', 'after'],
] as const)('%s is refused, and the error says why', async (_what, method, path, body, status, code, says) => {
  const asked = { method, ...(body !== undefined && { body }) };
  const answer = await ask({ socketPath: control.socketPath, path }, asked);
  expect([answer.status, answer.json.error?.code]).toEqual([status, code]);
  expect(answer.json.error?.message).toContain(says);
});

test('a bug of the service is told without what it looks like inside', async () => {
  const broken = control.service.list;
  control.service.list = () => {
    throw new Error('something inside');
  };
  const { status, json } = await ask({ socketPath: control.socketPath, path: '/v1/jobs' });
  control.service.list = broken;
  expect(status).toBe(500);
  expect(json.error).toMatchObject({ code: 'E_BUG', message: 'unexpected: something inside' });
  expect(json.error).not.toHaveProperty('cause');
});

test('metrics tell of jobs, rates, streams, requests and the process', async () => {
  const { id } = await client.create({ ...spec, priority: 'high' });
  control.service.copied(id, { bytes: 10, rateBytesPerSecond: 1234 });
  const metrics = await client.metrics();
  expect(metrics).toMatch(/^blockferry_jobs\{state="queued"\} [1-9]/m);
  expect(metrics).toContain('blockferry_rate_bytes_per_second{priority="high"} 1234');
  expect(metrics).toContain('blockferry_event_streams 0');
  expect(metrics).toMatch(/blockferry_http_requests_total\{route="\/v1\/jobs\/:id",method="GET",status="404"\} 1/);
  expect(metrics).toMatch(/^process_resident_memory_bytes [1-9]/m);
});

test('what a service counts is among its metrics, and what it does not count is not', async () => {
  expect(await client.metrics()).not.toContain('blockferry_copied_bytes_total');
  const counting = new FakeService();
  const bytes = { foreground: 1, high: 2, normal: 3, low: 4 };
  counting.totals = { bytes, decisions: 5, decisionMs: 6, storeWrites: 7, storeWriteMs: 8 };
  const other = await startTestControl({ service: counting });
  const { text } = await ask({ socketPath: other.socketPath, path: '/metrics' });
  await other.stop();
  expect(text).toContain('blockferry_copied_bytes_total{priority="normal"} 3');
  expect(text).toMatch(/^blockferry_scheduler_decisions_total 5$/m);
  expect(text).toMatch(/^blockferry_store_write_seconds_total 0.008$/m);
});
