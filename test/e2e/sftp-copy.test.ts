import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { bytesOf, expectSame, failureOf, makeFile, scratchFolder } from '../support/copying.js';
import { copyingWith, type SftpCopying } from '../support/sftp-copying.js';
import { type Sshd, sshdMissing, startSshd } from '../support/sshd.js';

const missing = sshdMissing();
const SIZE = 3 * MiB + 77;
let sshd: Sshd;
let scheme: EndpointScheme;
let copied: SftpCopying['copied'];
/** At the server, and here. */
let there: string;
let here: string;

beforeAll(async () => {
  // It changes its keys every MiB, as others do every few GiB.
  if (missing === '') sshd = await startSshd({ config: ['RekeyLimit 1M'] });
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

test('what stands under the name is left unless --overwrite says otherwise; then its permissions stay', async () => {
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
  const registry = {
    sftp: () => ({
      ...scheme,
      attachTarget: async (ref: { scheme: string }) => {
        const attached = await scheme.attachTarget?.(ref);
        if (!attached) throw new Error('no target');
        const commit = attached.commit.bind(attached);
        attached.commit = (request) => {
          // Until then nobody else may read it.
          expect(statSync(join(there, '.copy.img.blockferry-part')).mode & 0o777).toBe(0o600);
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
