import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { nativeAvailable } from '../../../src/platform/libc.js';
import { decodePath, encodePath } from '../../../src/platform/path-bytes.js';
import { publishNew, syncFolder } from '../../../src/platform/publish.js';
import { type Mount, openPlace, PLACES, placeAvailable } from '../../support/mounts.js';

const native = nativeAvailable();
const WAYS = PLACES.flatMap((place) => [
  { place, way: 'with koffi', off: '0', how: 'renamed', possible: native && placeAvailable(place) },
  { place, way: 'without koffi', off: '1', how: 'linked', possible: placeAvailable(place) },
]);

describe.each(WAYS)('$place, $way', ({ place, off, how, possible }) => {
  const testHere = test.skipIf(!possible);
  let mount: Mount;
  let from = '';
  let to = '';
  beforeAll(async () => {
    if (possible) mount = await openPlace(place);
  });
  afterAll(() => mount?.unmount());
  beforeEach(() => {
    vi.stubEnv('BLOCKFERRY_NO_NATIVE', off);
    if (!possible) return;
    const folder = mkdtempSync(join(mount.folder, 'case-'));
    from = join(folder, '.image.part');
    to = join(folder, 'image');
    writeFileSync(from, 'finished');
    return () => void vi.unstubAllEnvs();
  });

  testHere('a finished file gets its name and loses the old one', () => {
    expect(publishNew(from, to)).toBe(how);
    expect(readFileSync(to, 'utf8')).toBe('finished');
    expect(existsSync(from)).toBe(false);
  });

  testHere('a file that has the name already is left alone, and so is the finished one', () => {
    writeFileSync(to, 'precious');
    expect(publishNew(from, to)).toBe('exists');
    expect(readFileSync(to, 'utf8')).toBe('precious');
    expect(readFileSync(from, 'utf8')).toBe('finished');
  });

  testHere('a dangling symbolic link under the name is a name that is taken', () => {
    symlinkSync('nowhere', to);
    expect(publishNew(from, to)).toBe('exists');
    expect(readlinkSync(to)).toBe('nowhere');
    expect(existsSync(from)).toBe(true);
  });

  testHere('two names on one file, as a crash leaves them, are finished by calling again', () => {
    linkSync(from, to);
    expect(publishNew(from, to)).toBe('linked');
    expect(readFileSync(to, 'utf8')).toBe('finished');
    expect(existsSync(from)).toBe(false);
  });

  testHere('a name that is not UTF-8 is published byte for byte', () => {
    const raw = Buffer.from([0x64, 0xe9, 0x6a, 0xe0]);
    // btrfs, ext4, xfs and tmpfs all take any byte but NUL and slash.
    publishNew(from, encodePath(`${to}${decodePath(raw)}`));
    const names = readdirSync(join(to, '..'), { encoding: 'buffer' });
    expect(names).toEqual([Buffer.concat([Buffer.from('image'), raw])]);
  });

  testHere('where links are refused the name is checked first, and that is said', () => {
    // Folders cannot be hard-linked anywhere, so they stand in for a file system without links.
    mkdirSync(`${from}-folder`);
    expect(publishNew(`${from}-folder`, to)).toBe(off === '1' ? 'checked' : 'renamed');
    mkdirSync(`${from}-folder`);
    expect(publishNew(`${from}-folder`, to)).toBe('exists');
    expect(existsSync(`${from}-folder`)).toBe(true);
  });

  testHere('a missing file is ENOENT and a name with a NUL is refused, not cut', () => {
    expect(() => publishNew(`${from}-missing`, to)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => publishNew(from, `${to}\0tail`)).toThrow(/EINVAL|null bytes/);
    expect(existsSync(from)).toBe(true);
  });

  testHere('a folder is synced, and what is no folder is an error', () => {
    syncFolder(join(to, '..'));
    syncFolder(Buffer.from(join(to, '..')));
    expect(() => syncFolder(from)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    expect(() => syncFolder(`${to}-missing`)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});
