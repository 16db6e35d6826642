import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readTokens } from '../../src/daemon/tokens.js';
import { startPeerHost } from '../support/peer-host.js';
import { blockferry, type Ended, MAIN, start, workFolder } from './command.js';

/** With an input that is no terminal, and a state folder in the work folder. */
function command(folder: string, input: string, ...args: readonly string[]): Promise<Ended> {
  const state = join(folder, 'state');
  const script = `printf '%s' "$0" | BLOCKFERRY_STATE="$1" exec "$2" "$3" "\${@:4}"`;
  return start(folder, ['bash', '-c', script, input, state, process.execPath, MAIN, ...args]).ended;
}

async function peerHost(options?: Parameters<typeof startPeerHost>[0]) {
  const host = await startPeerHost(options);
  onTestFinished(() => host.stop());
  return host;
}

test('a peer is added once, and then copied from and to by its name alone', async () => {
  const { folder, content } = await workFolder(3_000_000);
  const host = await peerHost();
  const where = `peer://127.0.0.1:${host.port}`;
  const added = await command(folder, `${host.token}\n`, 'peer', 'add', where, '--pin', host.pin);
  expect(added).toMatchObject({ exitCode: 0, out: expect.stringContaining(`${where}/images/  read and write`) });
  const up = await command(folder, '', 'copy', 'disk.img', `${where}/images/`);
  expect([up.exitCode, up.err]).toEqual([0, '']);
  expect(readFileSync(join(host.root, 'disk.img')).equals(content)).toBe(true);
  const down = await command(folder, '', 'copy', `${where}/images/disk.img`, 'back.img');
  expect(down.exitCode).toBe(0);
  expect(readFileSync(join(folder, 'back.img')).equals(content)).toBe(true);
  const same = await command(folder, '', 'verify', 'back.img', `${where}/images/disk.img`);
  expect(same.exitCode).toBe(0);
  const through = await command(folder, '', 'copy', `${where}/images/disk.img`, `${where}/images/again.img`);
  expect(through.exitCode).toBe(0);
  expect(readFileSync(join(host.root, 'again.img')).equals(content)).toBe(true);
  const peers = join(folder, 'state', 'peers.json');
  expect(statSync(peers).mode & 0o777).toBe(0o600);
  for (const { out, err } of [added, up, down, same, through]) expect(out + err).not.toContain(host.token);
  const kept = readdirSync(join(folder, 'state'), { recursive: true, withFileTypes: true });
  const journals = kept.filter((entry) => entry.isFile() && entry.name !== 'peers.json');
  for (const { parentPath, name } of journals) {
    expect(readFileSync(join(parentPath, name), 'latin1')).not.toContain(host.token);
  }
  expect((await command(folder, '', 'peer', 'list')).out).toContain(`${where}  ${host.pin}`);
  expect((await command(folder, '', 'peer', 'remove', where)).exitCode).toBe(0);
  const refused = await command(folder, '', 'copy', `${where}/images/disk.img`, 'other.img');
  expect(refused).toMatchObject({ exitCode: 3, err: expect.stringContaining('blockferry peer add') });
});

test('a peer with another certificate, a wrong token or no confirmation is not added', async () => {
  const { folder } = await workFolder(1);
  const host = await peerHost();
  const where = `peer://127.0.0.1:${host.port}`;
  const wrongPin = await command(folder, `${host.token}\n`, 'peer', 'add', where, '--pin', `sha256:${'0'.repeat(64)}`);
  expect(wrongPin).toMatchObject({ exitCode: 3, err: expect.stringContaining(host.pin) });
  const wrongToken = await command(folder, 'bft_wrong\n', 'peer', 'add', where, '--pin', host.pin);
  expect(wrongToken).toMatchObject({ exitCode: 3, err: expect.stringContaining('token') });
  const unconfirmed = await command(folder, `${host.token}\n`, 'peer', 'add', where);
  expect(unconfirmed).toMatchObject({ exitCode: 2, err: expect.stringContaining('--pin') });
  expect((await command(folder, '', 'peer', 'list')).err).toContain('no peer is known');
});

test('a file of peers that others can read is not used', async () => {
  const { folder } = await workFolder(1);
  await command(folder, '', 'peer', 'list');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(folder, 'state'), { recursive: true });
  writeFileSync(join(folder, 'state', 'peers.json'), '{}', { mode: 0o644 });
  const listed = await command(folder, '', 'peer', 'list');
  expect(listed).toMatchObject({ exitCode: 3, err: expect.stringContaining('chmod 600') });
});

test('serve says what it offers, and ends well with a signal', async () => {
  const { folder } = await workFolder(1);
  process.env.BLOCKFERRY_STATE = join(folder, 'state');
  const serving = blockferry(folder, 'serve', '--root', `disks=${folder}`, '--listen', '127.0.0.1:0');
  await new Promise<void>((resolve) =>
    serving.child.stdout.on('data', (text) => /certificate/.test(text) && resolve()),
  );
  serving.child.kill('SIGTERM');
  const { exitCode, out, err } = await serving.ended;
  expect([exitCode, err]).toEqual([0, expect.stringContaining('')]);
  const lines = /^offering .+ as disks\nlistening on 127\.0\.0\.1:\d+\ncertificate sha256:[0-9a-f]{64}\njobs at .+\n$/;
  expect(out).toMatch(lines);
});

test.each([
  [['serve', '--root', 'missing'], 'cannot be opened as a folder'],
  [['serve', '--root', '.', '--listen', 'here:port'], '--listen: cannot use'],
  [['serve', '--root', '.', '--listen', '192.0.2.1:1'], 'cannot listen on'],
  [['serve', '--root', '.', '--cert', 'x'], '--cert and --key belong together'],
  [['serve', '--root', '.', '--cert', 'x', '--key', 'y'], 'cannot be read'],
  [['serve', '--root', 'a=.', '--root', 'a=.'], 'no name of its own'],
  [['serve', 'token', 'add', 'a/b'], 'cannot be called'],
  [['serve', 'token', 'add', 'a', '--rights', 'all'], '--rights: cannot use'],
  [['serve', 'token', 'add', userInfo().username, '--rights', 'jobs'], "the service's own user"],
  [['serve', 'token', 'remove', 'nobody'], 'there is no token'],
  [['peer', 'add', 'https://host'], 'peer://host'],
])('what serve and peer cannot do as asked, they say: %j', async (args, said) => {
  const { folder } = await workFolder(1);
  const { exitCode, err } = await command(folder, '', ...args);
  expect([exitCode, err]).toEqual([2, expect.stringContaining(said)]);
});

test.each([
  ['read,write', /peer add/, /--token-file/],
  ['jobs', /--service URL --token-file FILE/, /peer add/],
])('whoever makes a token with the rights %s is told what its user says', async (rights, said, unsaid) => {
  const { folder } = await workFolder(1);
  const { exitCode, err } = await command(folder, '', 'serve', 'token', 'add', 'laptop', '--rights', rights);
  expect([exitCode, err]).toEqual([0, expect.stringMatching(said)]);
  expect(err).not.toMatch(unsaid);
});

test('a copy that a host makes itself is left alone by its peers', async () => {
  const { folder } = await workFolder(3_000_000);
  const host = await peerHost();
  const target = host.at('disk.img');
  writeFileSync(join(host.root, '.disk.img.blockferry-journal'), '');
  process.env.BLOCKFERRY_PEER_TOKEN = host.token;
  const refused = await command(folder, '', 'copy', 'disk.img', target);
  expect(refused).toMatchObject({ exitCode: 2, err: expect.stringContaining('made on that host') });
  expect(readTokens(join(host.state, 'serve')).map(({ name }) => name)).toEqual(['tests']);
});
