import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, LOOPBACK, startTestControl, type TestControl } from '../../support/control.js';

let control: TestControl;
let token: string;

beforeAll(async () => {
  control = await startTestControl({ http: LOOPBACK });
  token = await control.token('boss', 'admin');
});

afterAll(() => control.stop());

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean }[];
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Page {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

const page = async (): Promise<Page> =>
  (await ask(`${control.url}/v1/openapi.json`, { token })).json as unknown as Page;

/** Every `$ref` below a value. */
function references(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => (key === '$ref' ? [String(below)] : references(below)));
}

test('the OpenAPI page lists every route', async () => {
  const { openapi, info, paths } = await page();
  expect(openapi).toBe('3.1.0');
  expect(info).toMatchObject({ title: 'Blockferry', version: '1.2.3' });
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((one) => `${one} ${path}`),
  );
  expect(routes.sort()).toEqual([
    ...['delete /v1/session', 'get /metrics', 'get /v1/events', 'get /v1/jobs', 'get /v1/jobs/{id}'],
    ...['get /v1/jobs/{id}/files/{index}/map', 'get /v1/jobs/{id}/why', 'get /v1/openapi.json', 'get /v1/policy'],
    ...['get /v1/service', 'patch /v1/jobs/{id}', 'post /v1/jobs', 'post /v1/jobs/{id}/cancel'],
    ...['post /v1/jobs/{id}/complete', 'post /v1/jobs/{id}/files', 'post /v1/jobs/{id}/replace-prefix'],
    ...['post /v1/jobs/{id}/resume', 'post /v1/jobs/{id}/suspend', 'post /v1/session', 'put /v1/policy'],
  ]);
});

test('each operation has a name, what it takes and what it answers, and each reference leads somewhere', async () => {
  const all = await page();
  const operations = Object.entries(all.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, ...operation })),
  );
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { path, summary, parameters = [], responses } of operations) {
    expect(summary).toMatch(/^[A-Z]/);
    const inPath = parameters.filter((one) => one.in === 'path').map(({ name }) => `{${name}}`);
    expect(inPath.sort()).toEqual((path.match(/\{\w+\}/g) ?? []).sort());
    expect(Object.keys(responses)).toContain('default');
    expect(Object.keys(responses).some((status) => /^20[0-4]$/.test(status))).toBe(true);
  }
  const known = Object.keys(all.components.schemas).map((name) => `#/components/schemas/${name}`);
  expect(known).toContain('#/components/schemas/JobSpec');
  const used = references(all);
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter((reference) => !known.includes(reference))).toEqual([]);
});

test('answers are what the OpenAPI page says: nothing else is in them', async () => {
  const { components } = await page();
  const body = JSON.stringify({ files: [{ source: 'https://anna:secret@host.test/a?sig=hidden', target: '/b' }] });
  const made = await ask(`${control.url}/v1/jobs`, { method: 'POST', token, body });
  const { properties } = components.schemas.Job as { readonly properties: Readonly<Record<string, unknown>> };
  expect(Object.keys(made.json).filter((name) => !(name in properties))).toEqual([]);
  const whole = await ask(`${control.url}/v1/jobs/${made.json.id}`, { token });
  expect(whole.text).toContain('https://host.test/a');
  expect(made.text + whole.text).not.toMatch(/secret|hidden/);
});

test('the page is its files and nothing else, and needs no token', async () => {
  const folder = join(control.folder, 'page');
  mkdirSync(join(folder, 'assets', 'deep'), { recursive: true });
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Blockferry</title>');
  writeFileSync(join(folder, 'assets', 'page.js'), 'export {};');
  writeFileSync(join(folder, 'assets', 'deep', 'style.css'), 'body {}');
  writeFileSync(join(folder, 'assets', 'notes.exe'), 'no');
  writeFileSync(join(control.folder, 'secret.txt'), 'secret');
  symlinkSync(join(control.folder, 'secret.txt'), join(folder, 'assets', 'link.txt'));
  const shown = await startTestControl({ http: LOOPBACK, page: folder });
  const got = await ask(`${shown.url}/`);
  expect([got.status, got.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
  expect(got.headers['content-security-policy']).toContain("script-src 'self'");
  const again = await ask(`${shown.url}/`, { headers: { 'if-none-match': got.headers.etag as string } });
  expect([again.status, again.text]).toEqual([304, '']);
  const script = await ask(`${shown.url}/assets/page.js`);
  expect([script.status, script.headers['content-type']]).toEqual([200, 'text/javascript; charset=utf-8']);
  expect((await ask(`${shown.url}/assets/deep/style.css`)).text).toBe('body {}');
  const { port } = new URL(shown.url);
  const raw = async (path: string) => {
    const { request } = await import('node:http');
    return new Promise((resolve) => {
      request({ port, path, agent: false }, (response) => resolve(response.resume().statusCode)).end();
    });
  };
  const nowhere = ['/assets/notes.exe', '/assets/link.txt', '/assets/../../secret.txt', '/assets/%2e%2e/secret.txt'];
  for (const path of [...nowhere, '/assets/', '/index.html', '//secret.txt', '/assets/..%2fsecret.txt']) {
    expect([path, await raw(path)]).toEqual([path, 401]);
  }
  expect((await ask(`${shown.url}/`, { headers: { host: 'evil.example' } })).status).toBe(403);
  rmSync(folder, { recursive: true });
  expect((await ask(`${shown.url}/assets/page.js`)).text).toBe('export {};');
  await shown.stop();
});

test('the log says who changed what and what failed, and holds no secrets', async () => {
  const log = join(control.folder, 'log');
  const logged = await startTestControl({ http: LOOPBACK, log });
  const anna = await logged.token('anna', 'jobs');
  const source = 'https://user:hunter2@host.test/a?X-Amz-Signature=abcdef';
  const body = JSON.stringify({ files: [{ source, target: '/b' }] });
  const made = await ask(`${logged.url}/v1/jobs`, { method: 'POST', token: anna, body });
  logged.service.move(made.json.id as string, 'error', {
    reason: `cannot read ${source} with ${anna}`,
    error: { code: 'E_AUTH', message: 'refused' },
  });
  await ask(`${logged.url}/v1/jobs/none`, { token: anna });
  await ask(`${logged.url}/v1/jobs`, { token: 'bft_guess' });
  await logged.stop();
  const text = readFileSync(join(log, 'blockferry.log'), 'utf8');
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toContainEqual(
    expect.objectContaining({ caller: 'anna', method: 'POST', path: '/v1/jobs', status: 201 }),
  );
  expect(lines).toContainEqual(expect.objectContaining({ job: made.json.id, state: 'error', code: 'E_AUTH' }));
  expect(lines).toContainEqual(
    expect.objectContaining({ status: 404, error: expect.objectContaining({ code: 'E_NO_JOB' }) }),
  );
  expect(text).toContain('cannot read https://host.test/a?… with …');
  expect(text).not.toMatch(/hunter2|abcdef|bft_/);
});
