import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { SftpClient } from '../../src/endpoint/sftp/client.js';
import type { ConnectLimits } from '../../src/endpoint/sftp/connect.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { makeKey, type Sshd, sshdMissing, startSshd } from '../support/sshd.js';
import { MAIN } from './command.js';

const missing = sshdMissing();
let sshd: Sshd;
/** Of the test alone; it begins without any settings, known hosts and keys. */
let home: string;
let folder: string;

beforeAll(async () => {
  if (missing !== '') return;
  sshd = await startSshd();
  writeFileSync(join(sshd.start, 'disk.img'), 'the bytes of a disk');
});
afterAll(() => sshd?.stop());

beforeEach((context) => {
  context.skip(missing !== '', missing);
  home = mkdtempSync(join(sshd.scratch, 'home-'));
  folder = join(home, '.ssh');
  mkdirSync(folder, { mode: 0o700 });
  vi.stubEnv('HOME', home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
  return () => vi.unstubAllEnvs();
});

const hostKey = (type = 'ed25519'): string => readFileSync(join(sshd.scratch, `host_${type}.pub`), 'utf8').trim();
const knows = (line: string): void => appendFileSync(join(folder, 'known_hosts'), `${line}\n`);
const knowsTheServer = (): void => knows(`[127.0.0.1]:${sshd.port} ${hostKey()}`);
const configure = (...lines: string[]): void => writeFileSync(join(folder, 'config'), `${lines.join('\n')}\n`);
const fingerprint = (type: string): string =>
  spawnSync('ssh-keygen', ['-l', '-f', join(sshd.scratch, `host_${type}.pub`)], { encoding: 'utf8' }).stdout.split(
    ' ',
  )[1] as string;

/** The key that the server takes, in a file with this passphrase. */
function putKey(path = join(folder, 'id_ed25519'), passphrase = ''): string {
  writeFileSync(path, readFileSync(join(sshd.home, '.ssh', 'id_ed25519')), { mode: 0o600 });
  if (passphrase !== '') spawnSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', passphrase, '-f', path]);
  writeFileSync(`${path}.pub`, readFileSync(join(sshd.home, '.ssh', 'id_ed25519.pub')));
  return path;
}

/** Opens the file as a source: 19, or the error. */
async function look(
  url = `sftp://127.0.0.1:${sshd.port}/~/disk.img`,
  limits: Partial<ConnectLimits> = {},
): Promise<number | TransferError> {
  const client = new SftpClient(limits);
  onTestFinished(() => client.close());
  try {
    return (await sftpScheme(client).openSource?.(parseLocation(url)))?.size ?? 0;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TransferError);
    return thrown as TransferError;
  }
}

test('a server whose key nobody knows is refused, with its fingerprint and what to do', async () => {
  putKey();
  const error = await look();
  expect(error).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining(fingerprint('ed25519')) });
  expect((error as TransferError).hint).toMatch(/^Nothing was sent\. .*Compare the fingerprint.*known_hosts/);
  expect(() => readFileSync(join(folder, 'known_hosts'))).toThrow('ENOENT');
});

test('a setting that would let unknown servers in is not followed, and that is said', async () => {
  putKey();
  configure('Host *', '  StrictHostKeyChecking no', '  UserKnownHostsFile /dev/null');
  const error = await look();
  expect(error).toMatchObject({ code: 'E_AUTH' });
  expect((error as TransferError).hint).toContain('StrictHostKeyChecking no in the settings of ssh is not followed');
});

test('a server with another key than the known one is refused, and the line is named', async () => {
  putKey();
  makeKey(join(home, 'other'));
  knows('# a comment');
  knows(`[127.0.0.1]:${sshd.port} ${readFileSync(join(home, 'other.pub'), 'utf8')}`);
  const error = await look();
  expect(error).toMatchObject({ code: 'E_AUTH', message: expect.stringMatching(/has changed.*known_hosts, line 2/) });
  expect((error as TransferError).hint).toContain(`ssh-keygen -R '[127.0.0.1]:${sshd.port}'`);
});

test('a key that was revoked is refused, although it is known', async () => {
  putKey();
  knowsTheServer();
  knows(`@revoked * ${hostKey()}`);
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('revoked') });
});

test('a key in the file of revoked ones is refused, and so are all where that file cannot be used', async () => {
  putKey();
  knowsTheServer();
  configure('Host *', `  RevokedHostKeys ${join(folder, 'revoked')}`);
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('is not there') });
  writeFileSync(join(folder, 'revoked'), `# old ones\n${hostKey('ecdsa')}\n`);
  expect(await look()).toBe(19);
  appendFileSync(join(folder, 'revoked'), `${hostKey()}\n`);
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringMatching(/was revoked.*line 3/) });
  spawnSync('ssh-keygen', ['-q', '-k', '-f', join(folder, 'revoked'), join(sshd.scratch, 'host_ed25519.pub')]);
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('KRL') });
});

test('of several keys of a server the known one is asked for, and names may be hashed', async () => {
  putKey();
  knows(`[127.0.0.1]:${sshd.port} ${hostKey('ecdsa')}`);
  spawnSync('ssh-keygen', ['-q', '-H', '-f', join(folder, 'known_hosts')]);
  expect(readFileSync(join(folder, 'known_hosts'), 'utf8')).toMatch(/^\|1\|/);
  expect(await look()).toBe(19);
});

test('a host may have another name in the settings, with port, user, key and known hosts of its own', async () => {
  knows(`the-server ${hostKey()}`);
  const key = putKey(join(folder, 'work key'));
  configure(
    'Include more/*.conf',
    'Host other',
    '  Port 1',
    'Host disk? !disk9',
    '  HostName 127.0.0.1',
    `  Port ${sshd.port}`,
    '  HostKeyAlias the-server',
    'Host *',
    '  Port 2',
  );
  mkdirSync(join(folder, 'more'));
  writeFileSync(join(folder, 'more', 'a.conf'), `Host disk1\n IdentityFile "${key}"\n IdentitiesOnly yes\n`);
  expect(await look('sftp://disk1/~/disk.img')).toBe(19);
  expect(await look('sftp://disk2/~/disk.img')).toMatchObject({ code: 'E_AUTH' });
  expect(await look('sftp://disk9/~/disk.img')).toMatchObject({ code: expect.stringMatching(/E_NETWORK|E_TIMEOUT/) });
});

test.each(['ProxyJump bastion', 'ProxyCommand nc %h %p'])('a way through another host is refused: %s', async (line) => {
  configure('Host 127.0.0.1', `  ${line}`);
  const keyword = line.split(' ')[0] as string;
  expect(await look()).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining(keyword) });
});

test('a key is named in the location, and only that one is tried', async () => {
  knowsTheServer();
  makeKey(join(folder, 'id_ed25519'));
  const key = putKey(join(home, 'mine'));
  const url = `sftp://127.0.0.1:${sshd.port}/~/disk.img?identity=`;
  expect(await look(url + encodeURIComponent(key))).toBe(19);
  const error = await look(url + encodeURIComponent(join(folder, 'id_ed25519')));
  expect(error).toMatchObject({ code: 'E_AUTH', message: expect.stringMatching(/refuses access.*id_ed25519/) });
});

test('a key that others can read is not used', async () => {
  knowsTheServer();
  chmodSync(putKey(), 0o644);
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('which others can read') });
});

test('another user than the server lets in is refused, by name', async () => {
  knowsTheServer();
  putKey();
  const error = await look(`sftp://nobody-here@127.0.0.1:${sshd.port}/~/disk.img`);
  expect(error).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('nobody-here') });
});

test('a password in a location is refused before anything is sent', async () => {
  const error = await look(`sftp://me:secret@127.0.0.1:${sshd.port}/~/disk.img`);
  expect(error).toMatchObject({ code: 'E_USAGE' });
  expect(JSON.stringify((error as TransferError).toJSON())).not.toContain('secret');
});

test('a key of an agent is used, also one whose file has a passphrase', async () => {
  knowsTheServer();
  const socket = await startAgent();
  const key = putKey();
  expect(spawnSync('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket } }).status).toBe(0);
  spawnSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'open sesame', '-f', key]);
  vi.stubEnv('SSH_AUTH_SOCK', socket);
  expect(await look()).toBe(19);
  expect(await look(`sftp://127.0.0.1:${sshd.port}/~/disk.img?identity=${encodeURIComponent(key)}`)).toBe(19);
  vi.stubEnv('SSH_AUTH_SOCK', join(home, 'no-such-agent'));
  expect(await look()).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('agent') });
});

test('an agent that does not answer is told from a server that does not', async () => {
  knowsTheServer();
  const socket = join(home, 'agent');
  const agent = createServer(() => undefined).listen(socket);
  await once(agent, 'listening');
  onTestFinished(() => void agent.close());
  vi.stubEnv('SSH_AUTH_SOCK', socket);
  const error = await look(undefined, { silenceMs: 1000 });
  expect(error).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('agent') });
});

test('a passphrase is asked for once on the terminal, unseen, whatever number of connections', async (context) => {
  context.skip(spawnSync('script', ['--version']).status !== 0, 'needs script (Debian: bsdutils)');
  knowsTheServer();
  putKey(undefined, 'open sesame');
  writeFileSync(join(sshd.start, 'large.img'), Buffer.alloc(100 * 1024 * 1024, 7));
  const url = `sftp://127.0.0.1:${sshd.port}/~/large.img`;
  const terminal = inTerminal(`'${process.execPath}' '${MAIN}' copy --no-sync --workers 2 ${url} ${url}.copy`);
  await terminal.until(/Passphrase for .*id_ed25519: /);
  terminal.type('wrong\r');
  await terminal.until(/(Passphrase[\s\S]*){2}/);
  terminal.type('open sesamee\x7f\r');
  const { exitCode, shown } = await terminal.ended;
  expect({ exitCode, shown }).toMatchObject({ exitCode: 0 });
  expect(shown.match(/Passphrase/g)).toHaveLength(2);
  expect(shown).not.toContain('sesame');
  expect(readFileSync(join(sshd.start, 'large.img.copy')).equals(Buffer.alloc(100 * 1024 * 1024, 7))).toBe(true);
  expect(sshd.log().match(/Accepted publickey/g)?.length).toBeGreaterThan(1);
});

async function startAgent(): Promise<string> {
  const socket = join(home, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void agent.kill('SIGKILL'));
  await once(agent.stdout, 'data');
  return socket;
}

interface Terminal {
  until(what: RegExp): Promise<void>;
  type(text: string): void;
  readonly ended: Promise<{ exitCode: number | null; shown: string }>;
}

function inTerminal(command: string): Terminal {
  const child: ChildProcess = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let shown = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  return {
    until: (what) => vi.waitFor(() => expect(shown).toMatch(what), { timeout: 30_000, interval: 20 }),
    type: (text) => void child.stdin?.write(text),
    ended: once(child, 'close').then(([exitCode]) => ({ exitCode, shown })),
  };
}
