import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { makeAuthority } from '../support/certificates.js';
import { blockferry, type Command, type Ended, workFolder } from './command.js';

interface Serving {
  readonly command: Command;
  readonly said: Record<string, unknown>;
}

/** `blockferry serve --json`, once it can be called. */
async function serve(folder: string, ...args: readonly string[]): Promise<Serving> {
  const command = blockferry(folder, 'serve', '--json', '--state', join(folder, 'state'), ...args);
  const said = await command.event(({ type }) => (type as string) === 'serving');
  return { command, said: said as unknown as Record<string, unknown> };
}

function run(folder: string, ...args: readonly string[]): Promise<Ended> {
  return blockferry(folder, ...args, '--state', join(folder, 'state')).ended;
}

test('a copy in the background goes on after its service was killed, and ends with the same bytes', async () => {
  const { folder, content } = await workFolder(24 * MiB);
  const first = await serve(folder);
  expect(first.said).toMatchObject({ schema: 1, type: 'serving', socketPath: join(folder, 'state', 'control.sock') });
  expect(statSync(join(folder, 'state', 'control.sock')).mode & 0o777).toBe(0o600);
  const made = await run(
    folder,
    'copy',
    '--background',
    '--limit',
    '8MiB',
    '--chunk-size',
    '1MiB',
    'disk.img',
    'b.img',
  );
  const id = made.out.trim();
  expect(made).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^[0-9a-f-]{36}\n$/) });
  const watched = blockferry(folder, 'job', 'watch', id, '--json', '--state', join(folder, 'state'));
  await watched.event((event) => event.type === 'progress' && event.bytesDone > 4 * MiB);
  first.command.child.kill('SIGKILL');
  await first.command.ended;
  const second = await serve(folder);
  expect((await run(folder, 'job', 'set', id, '--limit', '0')).exitCode).toBe(0);
  const ended = await watched.ended;
  expect(ended.exitCode).toBe(0);
  expect(JSON.parse(ended.out.trim().split('\n').at(-1) ?? '')).toMatchObject({
    type: 'result',
    state: 'acknowledged',
  });
  expect(readFileSync(join(folder, 'b.img')).equals(content)).toBe(true);
  second.command.child.kill('SIGTERM');
  expect((await second.command.ended).exitCode).toBe(0);
  expect(existsSync(join(folder, 'state', 'control.sock'))).toBe(false);
});

test('files of a job get their names when it is completed, and not before', async () => {
  const { folder, content } = await workFolder(3 * MiB);
  const other = randomBytes(MiB);
  writeFileSync(join(folder, 'other.img'), other);
  await serve(folder);
  const files = ['disk.img', 'a.img', 'other.img', 'b.img'];
  const notices = ['--notify', '/bin/true', '--webhook', 'http://127.0.0.1:1/'];
  const { out } = await run(folder, 'job', 'create', '--suspended', '--name', 'both', ...notices, ...files);
  const told = await run(folder, 'job', 'info', 'both', '--json');
  expect(JSON.parse(told.out)).toMatchObject({ notify: ['/bin/true'], webhookUrl: 'http://127.0.0.1:1/' });
  const quiet = await run(folder, 'job', 'set', 'both', '--no-notify', '--no-webhook', '--json');
  expect(Object.keys(JSON.parse(quiet.out))).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(notify|webhookUrl)$/)]),
  );
  expect((await run(folder, 'job', 'resume', 'both')).exitCode).toBe(0);
  const watched = await run(folder, 'job', 'watch', out.trim());
  expect(watched).toMatchObject({ exitCode: 0, out: expect.stringContaining('both is transferred') });
  expect([existsSync(join(folder, 'a.img')), existsSync(join(folder, 'b.img'))]).toEqual([false, false]);
  const completed = await run(folder, 'job', 'complete', 'both');
  expect(completed).toMatchObject({ exitCode: 0, out: expect.stringContaining('2 files under their names') });
  expect(readFileSync(join(folder, 'a.img')).equals(content)).toBe(true);
  expect(readFileSync(join(folder, 'b.img')).equals(other)).toBe(true);
});

test('an error says what to do, and the job goes on when that is done', async () => {
  const { folder, content } = await workFolder(MiB);
  await serve(folder);
  writeFileSync(join(folder, 'b.img'), 'there already');
  const { out } = await run(folder, 'copy', '--background', 'disk.img', 'b.img');
  const failed = await run(folder, 'job', 'watch', out.trim());
  expect(failed).toMatchObject({ exitCode: 2, err: expect.stringContaining('b.img') });
  expect(readFileSync(join(folder, 'b.img'), 'utf8')).toBe('there already');
  const listed = await run(folder, 'job', 'list', '--only', 'error', '--json');
  expect(JSON.parse(listed.out)).toMatchObject({ state: 'error', error: { code: 'E_TARGET_EXISTS' } });
  unlinkSync(join(folder, 'b.img'));
  expect((await run(folder, 'job', 'resume', out.trim())).exitCode).toBe(0);
  expect((await run(folder, 'job', 'watch', out.trim())).exitCode).toBe(0);
  expect(readFileSync(join(folder, 'b.img')).equals(content)).toBe(true);
});

test('one state folder has one service', async () => {
  const { folder } = await workFolder(1);
  await serve(folder);
  const { exitCode, err } = await run(folder, 'serve');
  expect([exitCode, err]).toEqual([2, expect.stringMatching(/in use by a service|a service runs here already/)]);
  expect((await run(folder, 'service', 'status')).exitCode).toBe(0);
});

test('over HTTP a token has its own jobs, with TLS and without', async () => {
  const { folder } = await workFolder(MiB);
  const plain = await serve(folder, '--http', '127.0.0.1:0');
  const { out: token } = await run(folder, 'serve', 'token', 'add', 'laptop', '--rights', 'jobs');
  writeFileSync(join(folder, 'token'), token);
  const by = ['--service', String(plain.said.url), '--token-file', 'token'];
  const made = await blockferry(folder, 'job', 'create', ...by, '--suspended', 'disk.img', 'b.img').ended;
  expect(made.exitCode).toBe(0);
  expect((await blockferry(folder, 'policy', 'set', ...by, 'token').ended).exitCode).toBe(2);
  plain.command.child.kill('SIGTERM');
  await plain.command.ended;
  const authority = makeAuthority(folder);
  const { cert, key } = authority.sign('service');
  const secure = await serve(folder, '--http', '127.0.0.1:0', '--cert', cert, '--key', key);
  const { url, webPin } = secure.said;
  expect([url, webPin]).toEqual([expect.stringMatching(/^https:/), expect.stringMatching(/^sha256:[0-9a-f]{64}$/)]);
  const pinned = ['--service', String(url), '--token-file', 'token', '--pin', String(webPin)];
  const listed = await blockferry(folder, 'job', 'list', ...pinned, '--json').ended;
  expect(JSON.parse(listed.out)).toMatchObject({ id: made.out.trim(), owner: 'laptop', state: 'suspended' });
  const signed = await blockferry(folder, 'job', 'list', ...pinned.slice(0, 4), '--ca', authority.ca).ended;
  expect(signed).toMatchObject({ exitCode: 0, err: '' });
  const wrong = await blockferry(folder, 'job', 'list', ...pinned.slice(0, -1), `sha256:${'0'.repeat(64)}`).ended;
  expect(wrong).toMatchObject({ exitCode: 3, err: expect.stringContaining('another certificate') });
  const unknown = await blockferry(folder, 'job', 'list', ...pinned.slice(0, 4)).ended;
  expect(unknown.exitCode).toBe(3);
  for (const { out, err } of [made, listed, wrong, unknown]) expect(out + err).not.toContain(token.trim());
});

test('serve says where jobs are, and ends well with a signal', async () => {
  const { folder } = await workFolder(1);
  const serving = blockferry(folder, 'serve', '--state', 'state', '--http', '127.0.0.1:0');
  let said = '';
  while (!said.includes('and at')) said += String((await once(serving.child.stdout, 'data'))[0]);
  serving.child.kill('SIGTERM');
  const { exitCode, out, err } = await serving.ended;
  expect([exitCode, err]).toEqual([0, expect.stringMatching(/^note: nobody has a token for it yet.*\n$/)]);
  expect(out).toMatch(/^jobs at .*\/state\/control\.sock\nand at http:\/\/127\.0\.0\.1:\d+\n$/);
});

test.each([
  [['--http', 'here:port'], '--http: cannot use'],
  [['--http', '192.0.2.1:1'], '192.0.2.1'],
  [['--root', 'missing'], 'cannot be opened as a folder'],
])('serve %j is refused', async (args, said) => {
  const { folder } = await workFolder(1);
  expect(await run(folder, 'serve', ...args)).toMatchObject({ exitCode: 2, err: expect.stringContaining(said) });
});

test('a policy that is wrong is told where the service runs and in its log, with line and column', async () => {
  const { folder } = await workFolder(0);
  const { command } = await serve(folder);
  const log = (): string => readFileSync(join(folder, 'state', 'log', 'blockferry.log'), 'utf8');
  writeFileSync(join(folder, 'state', 'blockferry.toml'), 'jobs_at_once = 4\nslice = 30\n');
  await vi.waitFor(() => expect(log()).toMatch(/blockferry\.toml:2:9: slice is 30/), { timeout: 20_000 });
  expect((await run(folder, 'policy', 'show')).out).toContain('jobs_at_once = 12');
  command.child.kill('SIGTERM');
  expect((await command.ended).err).toContain('blockferry.toml:2:9: slice is 30');
});

test.each([
  ['cannot be made', '/proc/state'],
  ['is a file', 'disk.img'],
])('a state folder that %s is refused by its name', async (why, state) => {
  const { folder } = await workFolder(1);
  const ended = await blockferry(folder, 'serve', '--state', state).ended;
  expect(ended.exitCode).toBe(2);
  expect(ended.err).toContain(`${resolve(folder, state)} cannot be the state folder: it ${why}`);
});
