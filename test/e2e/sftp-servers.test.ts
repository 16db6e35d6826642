import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import type { PreparedTarget, Target, TargetSite } from '../../src/core/target.js';
import { MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { SftpSession } from '../../src/endpoint/sftp/session.js';
import { expectSame, failureOf, makeFile, scratchFolder } from '../support/copying.js';
import { mounted } from '../support/mounts.js';
import { copyingWith, type SftpCopying } from '../support/sftp-copying.js';
import { killHard, type Sshd, type SshdOptions, sshdMissing, startSshd } from '../support/sshd.js';

const missing = sshdMissing();
const SIZE = 3 * MiB + 77;
let sshd: Sshd;
let scheme: EndpointScheme;
let copied: SftpCopying['copied'];
/** At the server, and here. */
let there: string;
let here: string;

beforeAll(async () => {
  if (missing === '') sshd = await startSshd();
});
afterAll(() => sshd?.stop());
beforeEach((context) => {
  context.skip(missing !== '', missing);
  useServer(sshd);
  here = scratchFolder();
});

function useServer(server: Sshd): void {
  ({ scheme, there, copied } = copyingWith(server));
}

const EXTENSIONS = 'fsync,hardlink,limits,posix-rename,statvfs,fstatvfs';

async function otherServer(options: SshdOptions): Promise<Sshd> {
  const other = await startSshd(options);
  onTestFinished(() => other.stop());
  useServer(other);
  return other;
}

test('a commit that was cut short between two names of the one file is finished', async () => {
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
  // A part is known by a time of access far ahead, which a finished copy does not keep.
  utimesSync(part, 2_100_000_000, statSync(path).mtime);
  expect(await finish()).toBe(true);
  expect(readdirSync(there)).toEqual(['copy']);
  expect(statSync(path).atimeMs).toBeLessThan(Date.now() + 60_000);
});

test('a file that takes the place of the part while it is written is never given the name', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const part = join(there, '.copy.blockferry-part');
  const swapping = {
    ...scheme,
    attachTarget: async (ref: { scheme: string }) => {
      const target = (await scheme.attachTarget?.(ref)) as Target;
      const openChunk = target.openChunk.bind(target);
      target.openChunk = (range, signal) => {
        if (range.offset === 2 * MiB) {
          rmSync(part);
          makeFile(part, SIZE, 'of another copy');
        }
        return openChunk(range, signal);
      };
      return target;
    },
  };
  const options = { source, target: sshd.url(join(there, 'copy')), registry: { sftp: () => swapping } };
  expect(await failureOf(copied(options))).toMatchObject({ code: 'E_TARGET_CHANGED' });
  expect(readdirSync(there)).toEqual(['.copy.blockferry-part']);
  await copied({ source, target: options.target });
  expectSame(source, join(there, 'copy'));
  // What told the part from others is gone.
  expect(statSync(join(there, 'copy')).atimeMs).toBeLessThan(Date.now() + 60_000);
});

test('where reading shows in the times of a part, a copy that goes on knows it all the same', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const target = sshd.url(join(there, 'copy'));
  const part = join(there, '.copy.blockferry-part');
  const stopping = {
    ...scheme,
    attachTarget: async (ref: { scheme: string }) => {
      const one = (await scheme.attachTarget?.(ref)) as Target;
      return Object.assign(one, { mark: () => Promise.reject(new TransferError('E_AUTH', 'not now')) });
    },
  };
  expect(await failureOf(copied({ source, target, registry: { sftp: () => stopping } }))).toMatchObject({
    code: 'E_AUTH',
  });
  const read = SftpSession.prototype.read;
  const reading = vi.spyOn(SftpSession.prototype, 'read').mockImplementation(async function (
    this: SftpSession,
    ...asked
  ) {
    const got = await read.apply(this, asked);
    if (asked[1].length > 1) utimesSync(part, new Date(), statSync(part).mtime);
    return got;
  });
  onTestFinished(() => reading.mockRestore());
  await copied({ source, target });
  expect(reading.mock.calls.length).toBeGreaterThan(1);
  expectSame(source, join(there, 'copy'));
});

test('a connection that breaks when the copy is located, or gets its name, is made anew', async () => {
  const source = makeFile(join(here, 'disk.img'), SIZE) as string;
  const cut = (): void => sshd.sessions().forEach(killHard);
  const breaking = {
    ...scheme,
    locateTarget: async (...locate: Parameters<NonNullable<EndpointScheme['locateTarget']>>) => {
      cut();
      return (await scheme.locateTarget?.(...locate)) as TargetSite;
    },
    attachTarget: async (ref: { scheme: string }) => {
      const target = (await scheme.attachTarget?.(ref)) as Target;
      const [mark, commit] = [target.mark.bind(target), target.commit.bind(target)];
      target.mark = (times) => {
        cut();
        return mark(times);
      };
      target.commit = (request) => {
        cut();
        return commit(request);
      };
      return target;
    },
  };
  const link = SftpSession.prototype.hardlink;
  const linking = vi.spyOn(SftpSession.prototype, 'hardlink').mockImplementationOnce(async function (
    this: SftpSession,
    ...names
  ) {
    await link.apply(this, names);
    cut();
  });
  onTestFinished(() => linking.mockRestore());
  await copied({ source, target: sshd.url(join(there, 'copy')), registry: { sftp: () => breaking } });
  expectSame(source, join(there, 'copy'));
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

test('a disk that fills up while it is copied to is told from other failures', async (context) => {
  const { folder: small } = await mounted(context, 'tmpfs', 8);
  const source = makeFile(join(here, 'disk.img'), 6 * MiB) as string;
  const filling = {
    ...scheme,
    prepareTarget: async (...prepare: Parameters<NonNullable<EndpointScheme['prepareTarget']>>) => {
      const prepared = await scheme.prepareTarget?.(...prepare);
      writeFileSync(join(small, 'room'), Buffer.alloc(5 * MiB));
      return prepared as PreparedTarget;
    },
  };
  const options = { source, target: sshd.url(join(small, 'copy')), registry: { sftp: () => filling } };
  expect(await failureOf(copied(options))).toMatchObject({ code: 'E_NO_SPACE' });
  rmSync(join(small, 'room'));
  await copied({ source, target: options.target });
  expectSame(source, join(small, 'copy'));
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
