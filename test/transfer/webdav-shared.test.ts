/** Several copies to one name of a web server, from machines that know nothing of each other. */
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { remotePartTag } from '../../src/endpoint/remote-journal.js';
import { startCopy } from '../support/copy-process.js';
import { bytesOf, CHUNK, makeFile, scratchFolder } from '../support/copying.js';
import { isPart } from '../support/dav-copy.js';
import { serveDav } from '../support/dav-server.js';
import { copyNoting } from '../support/noting.js';

const SIZE = 3 * MiB;

test.each(['ranges', 'whole'])(
  'a copy that another machine begins afresh, or thinks that it does, gets none of the bytes of ours (%s)',
  async (way) => {
    const dav = await serveDav();
    onTestFinished(dav.stop);
    const folder = scratchFolder();
    const ours = makeFile(join(folder, 'ours.img'), SIZE, 'ours') as string;
    const theirs = makeFile(join(folder, 'theirs.img'), SIZE, 'theirs') as string;
    const target = `${dav.url}/disk.img${way === 'whole' ? '?upload=whole' : ''}`;
    const sized = way === 'ranges' && { chunkBytes: CHUNK };
    const env = { BLOCKFERRY_STATE: join(folder, 'our-state') };
    const options = { source: ours, target, limitBytesPerSecond: 2 * MiB, ...sized };
    const first = startCopy(options, { env, crawlAtBytes: MiB + 100 * KiB });
    await first.reached(MiB + 100 * KiB);
    vi.stubEnv('BLOCKFERRY_STATE', join(folder, 'their-state'));
    onTestFinished(() => void vi.unstubAllEnvs());
    const begun = startCopy(
      { source: theirs, target, discard: true, limitBytesPerSecond: 2 * MiB, ...sized },
      { crawlAtBytes: MiB },
    );
    await begun.reached(MiB);
    first.goOn();
    expect((await first.ended).error).toBeUndefined();
    begun.goOn();
    expect((await begun.ended).error).toMatchObject({ code: 'E_TARGET_EXISTS' });
    expect(dav.files.get('/disk.img')?.equals(bytesOf(SIZE, 'ours'))).toBe(true);
    await copyNoting({ source: theirs, target, overwrite: true });
    expect(dav.files.get('/disk.img')?.equals(bytesOf(SIZE, 'theirs'))).toBe(true);
    expect([...dav.files.keys()].filter(isPart)).toEqual([]);
  },
);

test('the tag of a partial name is that of its target and state folder, for good', () => {
  const [one, other] = [scratchFolder(), scratchFolder()];
  const tag = remotePartTag(join(one, 'a.blockferry-journal'));
  expect(tag).toMatch(/^[0-9a-f]{8}$/);
  expect(remotePartTag(join(one, 'a.blockferry-journal'))).toBe(tag);
  expect(remotePartTag(join(one, 'b.blockferry-journal'))).not.toBe(tag);
  expect(remotePartTag(join(other, 'a.blockferry-journal'))).not.toBe(tag);
});
