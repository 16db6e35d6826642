import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { SftpClient } from '../../src/endpoint/sftp-client.js';
import { bytesOf, expectSame, failureOf, makeFile, scratchFolder } from '../support/copying.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { type Sshd, type SshdOptions, sshdMissing, startSshd } from '../support/sshd.js';

const missing = sshdMissing();
const SIZE = 3 * MiB + 77;
const EXTENSIONS = 'fsync,hardlink,limits,posix-rename,statvfs,fstatvfs';
let sshd: Sshd;
let client: SftpClient;
/** At the server, and here. */
let there: string;
let here: string;

beforeAll(async () => {
  // It changes its keys every few MiB, as others do every few GiB.
  if (missing === '') sshd = await startSshd({ config: ['RekeyLimit 1M'] });
});
afterAll(() => sshd?.stop());
beforeEach((context) => {
  context.skip(missing !== '', missing);
  useServer(sshd);
  here = scratchFolder();
});
afterEach(async () => {
  await client.close();
  vi.unstubAllEnvs();
});

function useServer({ home, start }: Sshd): void {
  vi.stubEnv('HOME', home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
  client = new SftpClient();
  there = mkdtempSync(join(start, 'test-'));
}

async function otherServer(options: SshdOptions): Promise<Sshd> {
  const other = await startSshd(options);
  onTestFinished(() => other.stop());
  useServer(other);
  return other;
}

/** Answers the notes of a copy. */
async function copied(options: InlineOptions): Promise<string[]> {
  const registry = { sftp: () => sftpScheme(client) };
  const transfer = inlineTransfer({ chunkBytes: 256 * KiB, workers: 1, registry, ...options });
  const notes: string[] = [];
  const listening = (async () => {
    for await (const event of transfer.events) if (event.type === 'note') notes.push(event.message);
  })();
  try {
    await transfer.run();
  } finally {
    await listening;
  }
  return notes;
}

test('a file goes to a server and comes back the same, through changes of the keys', async () => {
  const source = makeFile(join(here, 'disk.img'), 20 * MiB + 77) as string;
  expect(await copied({ source, target: sshd.url(join(there, 'copy.img')) })).toEqual([]);
  expectSame(source, join(there, 'copy.img'));
  utimesSync(join(there, 'copy.img'), 1_600_000_000, 1_600_000_000);
  await copied({ source: sshd.url(join(there, 'copy.img')), target: join(here, 'back.img') });
  expectSame(source, join(here, 'back.img'));
  expect(readdirSync(there)).toEqual(['copy.img']);
});

test('holes of a source stay holes, and a copy into a folder gets the name of the source', async () => {
  const source = makeFile(join(here, 'thin.img'), MiB) as string;
  truncateSync(source, 64 * MiB);
  await copied({ source, target: sshd.url(`${there}/`) });
  expectSame(source, join(there, 'thin.img'));
  expect(statSync(join(there, 'thin.img')).blocks * 512).toBeLessThan(8 * MiB);
});

test('an empty file, and names with blanks, umlauts and percent signs', async () => {
  const name = 'ein Ärgernis 100% #1?.img';
  writeFileSync(join(here, 'empty'), '');
  await copied({ source: join(here, 'empty'), target: sshd.url(join(there, encodeURIComponent(name))) });
  expect(readFileSync(join(there, name)).length).toBe(0);
});

test('what stands under the name is left unless --overwrite says otherwise, and then its permissions stay', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const target = join(there, 'copy.img');
  writeFileSync(target, 'old', { mode: 0o640 });
  expect(await failureOf(copied({ source, target: sshd.url(target) }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  expect(readFileSync(target, 'utf8')).toBe('old');
  await copied({ source, target: sshd.url(target), overwrite: true });
  expectSame(source, target);
  expect(statSync(target).mode & 0o777).toBe(0o640);
});

test('a name that somebody takes in the last moment is not taken from him', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const target = join(there, 'copy.img');
  const scheme = sftpScheme(client);
  const registry = {
    sftp: () => ({
      ...scheme,
      attachTarget: async (ref: { scheme: string }) => {
        const attached = await scheme.attachTarget?.(ref);
        if (!attached) throw new Error('no target');
        const commit = attached.commit.bind(attached);
        attached.commit = (request) => {
          writeFileSync(target, 'somebody else');
          return commit(request);
        };
        return attached;
      },
    }),
  };
  expect(await failureOf(copied({ source, target: sshd.url(target), registry }))).toMatchObject({
    code: 'E_TARGET_EXISTS',
  });
  expect(readFileSync(target, 'utf8')).toBe('somebody else');
});

test('a target that is a symbolic link is replaced like a file, and links in its folder are followed', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  mkdirSync(join(there, 'real'));
  symlinkSync('real', join(there, 'way'));
  writeFileSync(join(there, 'elsewhere'), 'other');
  symlinkSync('../elsewhere', join(there, 'real', 'copy.img'));
  const target = sshd.url(join(there, 'way', 'copy.img'));
  expect(await failureOf(copied({ source, target }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  await copied({ source, target, overwrite: true });
  expect(lstatSync(join(there, 'real', 'copy.img')).isFile()).toBe(true);
  expectSame(source, join(there, 'real', 'copy.img'));
  expect(readFileSync(join(there, 'elsewhere'), 'utf8')).toBe('other');
});

test('a link or a folder where the partial copy belongs is never written to', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  writeFileSync(join(there, 'precious'), 'precious');
  symlinkSync('precious', join(there, '.copy.img.blockferry-part'));
  const target = sshd.url(join(there, 'copy.img'));
  expect(await failureOf(copied({ source, target }))).toMatchObject({ code: 'E_PART_FOREIGN' });
  expect(readFileSync(join(there, 'precious'), 'utf8')).toBe('precious');
});

test.each([
  ['a folder', 'E_SOURCE_KIND', () => mkdirSync(join(there, 'thing'))],
  ['a special file', 'E_SOURCE_KIND', () => spawnSync('mkfifo', [join(there, 'thing')])],
  ['nothing', 'E_SOURCE_MISSING', () => undefined],
])('%s is no source, and the error says so', async (_name, code, make) => {
  make();
  const options = { source: sshd.url(join(there, 'thing')), target: join(here, 'copy') };
  expect(await failureOf(copied(options))).toMatchObject({ code });
});

test('a folder that is not there, or one without permission, is told by name', async (context) => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  expect(await failureOf(copied({ source, target: sshd.url(join(there, 'no', 'copy')) }))).toMatchObject({
    code: 'E_TARGET_FOLDER',
    message: expect.stringContaining(join(there, 'no')),
  });
  context.skip(process.getuid?.() === 0, 'root may write everywhere');
  mkdirSync(join(there, 'closed'), { mode: 0o500 });
  expect(await failureOf(copied({ source, target: sshd.url(join(there, 'closed', 'copy')) }))).toMatchObject({
    code: 'E_TARGET_ACCESS',
  });
});

test('a source is not copied onto itself', async () => {
  const path = makeFile(join(there, 'disk.img'), SIZE) as string;
  utimesSync(path, 1_600_000_000, 1_600_000_000);
  symlinkSync('.', join(there, 'again'));
  const target = sshd.url(join(there, 'again', 'disk.img'));
  expect(await failureOf(copied({ source: sshd.url(path), target, overwrite: true }))).toMatchObject({
    code: 'E_USAGE',
  });
});

test('a source that changes while it is copied is named, and its target gets no name', async () => {
  const path = makeFile(join(there, 'disk.img'), SIZE) as string;
  utimesSync(path, 1_600_000_000, 1_600_000_000);
  const scheme = sftpScheme(client);
  const changing = {
    ...scheme,
    attachSource: async (ref: { scheme: string }) => {
      const source = await scheme.attachSource?.(ref);
      if (!source) throw new Error('no source');
      const openChunk = source.openChunk.bind(source);
      source.openChunk = (range, signal) => {
        if (range.offset === 2 * MiB) writeFileSync(path, bytesOf(SIZE, 'other'));
        return openChunk(range, signal);
      };
      return source;
    },
  };
  const options = { source: sshd.url(path), target: join(here, 'copy'), registry: { sftp: () => changing } };
  expect(await failureOf(copied(options))).toMatchObject({ code: 'E_SOURCE_CHANGED' });
  expect(existsSync(join(here, 'copy'))).toBe(false);
});

test('--preserve keeps permissions and whole seconds, and says what it cannot keep', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  spawnSync('chmod', ['751', source]);
  utimesSync(source, 1_500_000_000, 1_500_000_000.25);
  const notes = await copied({ source, target: sshd.url(join(there, 'copy')), preserve: true });
  const { mode, mtimeMs } = statSync(join(there, 'copy'));
  expect({ mode: mode & 0o777, mtimeMs }).toEqual({ mode: 0o751, mtimeMs: 1_500_000_000_000 });
  expect(notes).toEqual(['--preserve: times are kept in whole seconds over SFTP']);
});

test('a commit that was cut short between two names of the one file is finished', async () => {
  const scheme = sftpScheme(client);
  const path = makeFile(join(there, 'copy'), SIZE) as string;
  const site = await scheme.locateTarget?.(parseLocation(sshd.url(path)), 'x');
  const mtimeNs = String(BigInt(Math.floor(statSync(path).mtimeMs / 1000)) * 1_000_000_000n);
  const part = join(there, '.copy.blockferry-part');
  const mark = { device: String(site?.existing?.device), inode: part, size: SIZE, mtimeNs };
  const finish = () => scheme.finishCommit?.(site?.ref as { scheme: string }, mark, { overwrite: false, sync: true });
  // Another file that only looks the same is left alone.
  makeFile(part, SIZE, 'another');
  utimesSync(part, statSync(path).atime, statSync(path).mtime);
  expect(await finish()).toBe(false);
  spawnSync('rm', [part]);
  linkSync(path, part);
  expect(await finish()).toBe(true);
  expect(readdirSync(there)).toEqual(['copy']);
});

test('a server without extensions is used as it is, and what it cannot promise is said', async () => {
  const bare = await otherServer({ sftpOptions: `-P ${EXTENSIONS}` });
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const target = join(there, 'copy.img');
  const notes = await copied({ source, target: bare.url(target) });
  expect(notes).toEqual([
    expect.stringContaining('cannot be told to make data durable'),
    expect.stringContaining('cannot replace a file at once'),
    expect.stringContaining('may replace what somebody else puts there'),
  ]);
  expectSame(source, target);
  writeFileSync(target, 'old');
  expect(await failureOf(copied({ source, target: bare.url(target) }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  await copied({ source, target: bare.url(target), overwrite: true });
  expectSame(source, target);
});

test('a full disk is told from other failures', async (context) => {
  context.skip(process.getuid?.() !== 0, 'needs root to mount');
  const small = join(there, 'small');
  mkdirSync(small);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', small]);
  context.skip(mounted.status !== 0, 'cannot mount here');
  onTestFinished(() => void spawnSync('umount', ['-l', small]));
  const source = makeFile(join(here, 'disk.img'), 6 * MiB) as string;
  writeFileSync(join(small, 'room'), Buffer.alloc(7 * MiB));
  expect(await failureOf(copied({ source, target: sshd.url(join(small, 'copy')) }))).toMatchObject({
    code: 'E_NO_SPACE',
  });
});

test('rclone, another server, gives a file, and is refused as a target that it cannot be', async (context) => {
  context.skip(spawnSync('rclone', ['version']).status !== 0, 'needs rclone');
  const source = makeFile(join(there, 'disk.img'), SIZE) as string;
  const port = await startRclone();
  await copied({ source: `sftp://127.0.0.1:${port}/disk.img`, target: join(here, 'copy') });
  expectSame(source, join(here, 'copy'));
  expect(await failureOf(copied({ source, target: `sftp://127.0.0.1:${port}/copy` }))).toMatchObject({
    code: expect.stringMatching(/^E_TARGET_/),
  });
  expect(readdirSync(there)).toEqual(['disk.img']);
});

async function startRclone(): Promise<number> {
  const port = sshd.port + 1;
  const options = ['--addr', `127.0.0.1:${port}`, '--config', '', '--key', join(sshd.scratch, 'host_ed25519')];
  const keys = ['--authorized-keys', join(sshd.scratch, 'authorized_keys')];
  const child = spawn('rclone', ['serve', 'sftp', there, ...options, ...keys], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await vi.waitFor(() => once(connect(port, '127.0.0.1'), 'connect'), { timeout: 20_000, interval: 50 });
  const known = join(sshd.home, '.ssh', 'known_hosts');
  writeFileSync(known, readFileSync(known, 'utf8').replace(`:${sshd.port} `, `:${sshd.port},[127.0.0.1]:${port} `));
  return port;
}
