import {
  chmodSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { FileAttributes } from '../../../src/core/endpoint.js';
import {
  applyAttributes,
  applyLinkAttributes,
  readAttributes,
  readLinkAttributes,
} from '../../../src/platform/attributes.js';
import { libc, nativeAvailable } from '../../../src/platform/libc.js';
import { mountLoop, mountsAvailable, mountTmpfs, openPlace, PLACES, placeAvailable } from '../../support/mounts.js';

const native = nativeAvailable();
const root = process.geteuid?.() === 0;

function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-attributes-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function open(path: string, flags = 'w+'): number {
  const fd = openSync(path, flags, 0o600);
  onTestFinished(() => closeSync(fd));
  return fd;
}

function set(fd: number, name: string, value: Buffer): number | undefined {
  return libc()?.fsetxattr(fd, name, value);
}

const PLAIN = { mode: 0o640, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
const TIMES = { accessedNs: '1700000000123456789', modifiedNs: '1600000000987654321' };

/** As the kernel takes it (linux/posix_acl_xattr.h): the owner rw, uid 12 r, the group r, mask r, others none. */
const ACCESS_LIST = Buffer.from(
  [
    '02000000',
    ...['01000600ffffffff', '020004000c000000', '04000400ffffffff', '10000400ffffffff', '20000000ffffffff'],
  ].join(''),
  'hex',
);

test.skipIf(!native)('times are kept to the nanosecond, before 1970 too', () => {
  const folder = tempFolder();
  const fd = open(join(folder, 'file'));
  for (const times of [TIMES, { accessedNs: '-1500000001', modifiedNs: '-1' }]) {
    expect(applyAttributes(fd, { ...PLAIN, ...times })).toEqual([]);
    expect(readAttributes(fd)).toMatchObject({ ...PLAIN, ...times });
  }
});

test('without koffi times are kept to the microsecond, and extended attributes are told of', () => {
  vi.stubEnv('BLOCKFERRY_NO_NATIVE', '1');
  onTestFinished(() => void vi.unstubAllEnvs());
  const fd = open(join(tempFolder(), 'file'));
  expect(applyAttributes(fd, { ...PLAIN, ...TIMES, extended: [['user.x', Buffer.from('1')]] })).toEqual([
    'extended attributes could not be kept (ENOSYS): user.x',
  ]);
  expect((fstatSync(fd, { bigint: true }).mtimeNs - BigInt(TIMES.modifiedNs)) / 2000n).toBe(0n);
  expect(readAttributes(fd).unread?.[0]).toContain('koffi');
});

for (const place of PLACES) {
  test.skipIf(!native || !placeAvailable(place))(
    `extended attributes of files and folders are kept on ${place}`,
    async (context) => {
      const { folder, unmount } = await openPlace(place);
      onTestFinished(unmount);
      const from = open(join(folder, 'from'));
      context.skip(set(from, 'user.text', Buffer.from('text')) !== 0, 'no extended attributes here');
      set(from, 'user.empty', Buffer.alloc(0));
      set(from, 'user.bytes', Buffer.from([0, 255, 10, 0]));
      mkdirSync(join(folder, 'sub'));
      for (const to of [open(join(folder, 'to')), open(join(folder, 'sub'), 'r')]) {
        const attributes = { ...readAttributes(from), ...PLAIN, ...TIMES };
        expect(applyAttributes(to, attributes)).toEqual([]);
        const kept = readAttributes(to);
        expect(sorted(kept)).toEqual(sorted(attributes));
        expect(kept).toMatchObject({ ...PLAIN, ...TIMES });
      }
    },
  );
}

function sorted({ extended = [] }: FileAttributes): string[] {
  return extended.map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`).sort();
}

test.skipIf(!native || !mountsAvailable('ext4'))(
  'access control lists are kept, and one that the folder gave does not stay',
  async () => {
    const { folder, unmount } = await mountLoop('ext4', 16);
    onTestFinished(unmount);
    const fd = open(folder, 'r');
    expect(set(fd, 'system.posix_acl_default', ACCESS_LIST)).toBe(0);
    const from = open(join(folder, 'from'));
    const plain = { ...PLAIN, ...TIMES, extended: [] };
    expect(applyAttributes(from, plain)).toEqual([]);
    expect(sorted(readAttributes(from))).toEqual([]);
    expect(set(from, 'system.posix_acl_access', ACCESS_LIST)).toBe(0);
    const to = open(join(folder, 'to'));
    expect(applyAttributes(to, readAttributes(from))).toEqual([]);
    expect(sorted(readAttributes(to))).toEqual([`system.posix_acl_access=${ACCESS_LIST.toString('hex')}`]);
    expect(applyAttributes(to, plain)).toEqual([]);
    expect(readAttributes(to)).toMatchObject({ mode: 0o640, extended: [] });
  },
);

test.skipIf(!native || !mountsAvailable('ext4'))(
  'an attribute that is too large for the file system is told of, and the others are kept',
  async () => {
    const { folder, unmount } = await mountLoop('ext4', 16);
    onTestFinished(unmount);
    const fd = open(join(folder, 'file'));
    const extended = [
      ['user.large', Buffer.alloc(64 * 1024, 1)],
      ['user.small', Buffer.from('1')],
    ] as const;
    expect(applyAttributes(fd, { ...PLAIN, ...TIMES, extended })).toEqual([
      'extended attributes could not be kept (ENOSPC): user.large',
    ]);
    expect(sorted(readAttributes(fd))).toEqual(['user.small=31']);
  },
);

test.skipIf(!root)('root keeps the owner, and the set-user-id bit with it', () => {
  const fd = open(join(tempFolder(), 'file'));
  const owned = { mode: 0o6755, uid: 12, gid: 34 };
  expect(applyAttributes(fd, { ...TIMES, ...owned })).toEqual([]);
  expect(readAttributes(fd)).toMatchObject(owned);
});

test.skipIf(!root || !native)('a user keeps no foreign owner, and no set-user-id bit that spoke of it', () => {
  const folder = tempFolder();
  chmodSync(folder, 0o777);
  process.setegid?.(65534);
  process.seteuid?.(65534);
  try {
    const fd = open(join(folder, 'file'));
    const extended = [['trusted.x', Buffer.from('1')]] as const;
    expect(applyAttributes(fd, { ...TIMES, mode: 0o6755, uid: 12, gid: 34, extended })).toEqual([]);
    expect(readAttributes(fd)).toMatchObject({ ...TIMES, mode: 0o755, uid: 65534, gid: 65534 });
    expect(applyAttributes(fd, { ...TIMES, mode: 0o4755, uid: 65534, gid: 65534 })).toEqual([]);
    expect(readAttributes(fd).mode).toBe(0o4755);
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
});

test('a symbolic link gets its own owner and times, and what it points at keeps its own', () => {
  const folder = tempFolder();
  const fd = open(join(folder, 'file'));
  const before = fstatSync(fd, { bigint: true });
  const link = join(folder, 'link');
  symlinkSync('file', link);
  expect(
    applyLinkAttributes(link, { ...readLinkAttributes(link), ...TIMES, ...(root && { uid: 12, gid: 34 }) }),
  ).toEqual([]);
  const stat = lstatSync(link, { bigint: true });
  expect(native ? String(stat.mtimeNs) : String(stat.mtimeNs / 1000n)).toBe(
    native ? TIMES.modifiedNs : '1600000000987654',
  );
  if (root) expect([stat.uid, stat.gid]).toEqual([12n, 34n]);
  expect(fstatSync(fd, { bigint: true })).toEqual(before);
});

test('a file system that cannot be written to is a failure, and no refusal', async (context) => {
  context.skip(!mountsAvailable(), 'needs a mount');
  const { folder, remount, unmount } = await mountTmpfs(1);
  onTestFinished(unmount);
  const path = join(folder, 'file');
  closeSync(openSync(path, 'w'));
  await remount('ro');
  const fd = openSync(path, 'r');
  try {
    expect(() => applyAttributes(fd, { ...PLAIN, ...TIMES })).toThrow('EROFS');
  } finally {
    closeSync(fd);
  }
});
