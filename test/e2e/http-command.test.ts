/** What the command does with the options for servers; and that no secret is ever said, written down, or shown. */
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { bytesOf, scratchFolder } from '../support/copying.js';
import { startForwardProxy } from '../support/forward-proxy.js';
import { goodHead, type RawRequest, type RawServer, serveRaw } from '../support/raw-server.js';
import { blockferry, type Ended } from './command.js';

const disk = bytesOf(4 * MiB, 'command');
const SECRETS = { header: 'SECRET-header', token: 'SECRET-token', proxy: 'SECRET-proxy', netrc: 'SECRET-netrc' };

/** Serves the disk to those who send all of these lines, and else says 401. */
async function serve(...wanted: readonly string[]): Promise<RawServer> {
  const server = await serveRaw((socket: Socket, request: RawRequest) => {
    const { text, range } = request;
    if (!wanted.every((line) => text.toLowerCase().includes(`\r\n${line.toLowerCase()}\r\n`)))
      return socket.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
    return socket.write(
      Buffer.concat([Buffer.from(goodHead(request, disk.length)), disk.subarray(range.first, range.last + 1)]),
    );
  });
  onTestFinished(() => server.stop());
  return server;
}

function env(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
}

/** Everything that somebody else could see of a command. */
function expectNoSecret({ out, err }: Ended, ...more: readonly string[]): void {
  const all = [out, err, ...more].join('\n');
  for (const secret of Object.values(SECRETS)) {
    expect(all).not.toContain(secret);
    // As the end of user and password, wherever that begins in the alphabet of base64.
    const encoded = Buffer.from(`who:${secret}`).toString('base64').replace(/=+$/, '');
    expect(all).not.toContain(encoded);
  }
}

test('secrets are in no output, journal, event or process list, and the copy goes on as its line says', async () => {
  const folder = scratchFolder();
  const proxy = await startForwardProxy(`who:${SECRETS.proxy}`);
  onTestFinished(() => proxy.stop());
  const server = await serve(`X-Key: ${SECRETS.header}`, `Authorization: Bearer ${SECRETS.token}`);
  writeFileSync(join(folder, 'headers'), `# for the disks\nX-Key: ${SECRETS.header}\n`, { mode: 0o600 });
  env({ BLOCKFERRY_HTTP_TOKEN: SECRETS.token, http_proxy: `http://who:${SECRETS.proxy}@${proxy.host}` });
  const args = ['copy', '--json', '--chunk-size', '64KiB', '--header', '@headers'];
  const first = blockferry(folder, ...args, '--limit', '1MiB', `${server.url}/disk.img`, 'copy.img');
  await first.event((event) => event.type === 'checkpoint');
  const commandLine = readFileSync(`/proc/${first.child.pid}/cmdline`, 'utf8');
  const hidden = readdirSync(folder).filter((name) => name.endsWith('.blockferry-journal'));
  expect(hidden).toHaveLength(1);
  const journal = readFileSync(join(folder, hidden[0] as string), 'utf8');
  first.child.kill('SIGINT');
  const stopped = await first.ended;
  expect(stopped.exitCode).toBe(130);
  expectNoSecret(stopped, commandLine, journal);
  expect(stopped.err).toContain('--header @headers');
  const told = await blockferry(folder, 'status', '--json', 'copy.img').ended;
  expectNoSecret(told);
  const second = await blockferry(folder, ...args, `${server.url}/disk.img`, 'copy.img').ended;
  expect(second.exitCode).toBe(0);
  expectNoSecret(second);
  expect(readFileSync(join(folder, 'copy.img')).equals(disk)).toBe(true);
  expect(proxy.asked.length).toBeGreaterThan(4);
});

test('a refusal says nothing of what was sent', async () => {
  const folder = scratchFolder();
  const server = await serve('X-Key: another');
  const netrc = join(folder, 'netrc');
  writeFileSync(netrc, `machine 127.0.0.1 login who password ${SECRETS.netrc}\n`, { mode: 0o600 });
  env({ NETRC: netrc, BLOCKFERRY_DEBUG: '1' });
  const source = `${server.url}/disk.img`;
  const refused = await blockferry(folder, 'copy', '--header', `X-Key: ${SECRETS.header}`, source, 'copy.img').ended;
  expect(refused.exitCode).toBe(3);
  expect(server.asked[0]?.text).toContain(
    `authorization: Basic ${Buffer.from(`who:${SECRETS.netrc}`).toString('base64')}`,
  );
  expectNoSecret(refused);
  chmodSync(netrc, 0o644);
  const unsafe = await blockferry(folder, 'copy', source, 'copy.img').ended;
  expect(unsafe).toMatchObject({ exitCode: 2, err: expect.stringContaining('chmod 600') });
  expectNoSecret(unsafe);
});

test.each([
  [['--header', 'SECRET-header'], '--header'],
  [['--header', '@/nonexistent'], '/nonexistent'],
  [['--header', 'Range: bytes=0-1'], 'header range'],
  [['--token-file', '/nonexistent'], '/nonexistent'],
  [['--key', '/nonexistent'], 'certificate'],
  [['--connections', '0'], '--connections'],
  [['--connections', '257'], '--connections'],
])('what cannot be used is refused before anything is asked: %j', async (args, names) => {
  const server = await serve();
  const ended = await blockferry(scratchFolder(), 'copy', ...args, `${server.url}/disk.img`, 'copy.img').ended;
  expect(ended).toMatchObject({ exitCode: 2, err: expect.stringContaining(names) });
  expectNoSecret(ended);
  expect(server.asked).toHaveLength(0);
});

test('options for a server are refused where there is none', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'disk.img'), disk);
  const ended = await blockferry(folder, 'copy', '--header', 'A: b', 'disk.img', 'copy.img').ended;
  expect(ended).toMatchObject({ exitCode: 2, err: expect.stringContaining('no location is reached over HTTP') });
  const tree = await blockferry(folder, 'copy', '-r', '--ca', 'x', '.', 'copies').ended;
  expect(tree).toMatchObject({ exitCode: 2, err: expect.stringContaining('single file') });
});

test('credentials are for one server: the other end of a comparison is asked without them', async () => {
  const mine = await serve('X-Key: mine');
  const other = await serve();
  const folder = scratchFolder();
  const args = ['verify', '--header', 'X-Key: mine', `${mine.url}/disk.img`, `${other.url}/disk.img`];
  expect((await blockferry(folder, ...args).ended).exitCode).toBe(0);
  expect(other.asked.length).toBeGreaterThan(0);
  for (const { text } of other.asked) expect(text.toLowerCase()).not.toContain('x-key');
});

test('disk commands ask a server with the same options', async () => {
  const server = await serve('X-Key: k');
  const ended = await blockferry(scratchFolder(), 'disk', 'info', '--header', 'X-Key: k', `${server.url}/disk.img`)
    .ended;
  expect(ended).toMatchObject({ exitCode: 0, out: expect.stringContaining('raw') });
});
