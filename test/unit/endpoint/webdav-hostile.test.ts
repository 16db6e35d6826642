import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { KiB } from '../../../src/core/units.js';
import { httpTargets } from '../../../src/endpoint/http-put.js';
import { forgetAbilities } from '../../../src/endpoint/upload-probe.js';
import { webdavScheme } from '../../../src/endpoint/webdav.js';
import { TransferError } from '../../../src/index.js';
import { bytesOf, CHUNK, failureOf, makeFile, scratchFolder } from '../../support/copying.js';
import { type DavScript, type DavServer, multistatus, say, serveDav } from '../../support/dav-server.js';
import { inlineTransfer } from '../../support/inline-copy.js';

const SIZE = 5 * CHUNK + 77;
const bytes = bytesOf(SIZE, 'source');

interface Rig {
  readonly dav: DavServer;
  copy(options?: { overwrite?: boolean; target?: string; chunkBytes?: number }): Promise<string[]>;
}

async function rig(script?: DavScript): Promise<Rig> {
  vi.stubEnv('BLOCKFERRY_STATE', join(scratchFolder(), 'state'));
  const dav = await serveDav(script);
  forgetAbilities();
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await dav.stop();
  });
  const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
  const registry = { webdav: () => webdavScheme(), http: () => httpTargets() };
  return {
    dav,
    copy: async ({ target = `${dav.url}/disk.img`, chunkBytes = CHUNK, ...others } = {}) => {
      const options = { ...others, ...(chunkBytes > 0 && { chunkBytes }) };
      const transfer = inlineTransfer({ source, target, registry, clock: systemClock, ...options });
      const notes: string[] = [];
      const watched = (async () => {
        for await (const event of transfer.events) if (event.type === 'note') notes.push(event.message);
      })();
      await transfer.run();
      await watched;
      return notes;
    },
  };
}

const isPart = (path: string): boolean => path.endsWith('.blockferry-part');
const isProbe = (path: string): boolean => path.endsWith('.blockferry-probe');

function expectNoTarget(dav: DavServer): void {
  expect(dav.files.has('/disk.img')).toBe(false);
}

test('a good server gets the file by ranges, and nothing else is left there', async () => {
  const { dav, copy } = await rig();
  await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  expect([...dav.files.keys()]).toEqual(['/disk.img']);
  const ranged = dav.asked.filter(
    ({ method, path, headers }) => method === 'PUT' && isPart(path) && headers['content-range'],
  );
  expect(ranged.length).toBe(7);
});

test('a server that answers a range with success, and keeps the range alone, gets the file by one PUT', async () => {
  const { dav, copy } = await rig((request, answer) => {
    if (request.method !== 'PUT' || !request.headers['content-range']) return undefined;
    dav.files.set(request.path, request.body);
    return say(answer, 201);
  });
  expect((await copy({ chunkBytes: 0 })).join()).toMatch(/in one piece/);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  expect(dav.asked.filter(({ method, path, body }) => method === 'PUT' && isPart(path) && body.length > 0).length).toBe(
    1,
  );
});

test('a server that patches when it is tried out and replaces later is found out by the size', async () => {
  const { dav, copy } = await rig((request, answer) => {
    if (request.method !== 'PUT' || !request.headers['content-range'] || !isPart(request.path)) return undefined;
    if (request.body.length === 1) return undefined;
    dav.files.set(request.path, request.body);
    return say(answer, 204);
  });
  expect(await failureOf(copy())).toMatchObject({ code: 'E_TARGET_CHANGED' });
  expectNoTarget(dav);
});

test('a server that says that it stored a range, and did not, is found out by what it answers', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PUT' && request.headers['content-range'] && isPart(request.path) && request.body.length > 1
      ? say(answer, 204)
      : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_TARGET_WRITE' });
  expectNoTarget(dav);
});

test('a MOVE that was answered with success and not done is found out', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'MOVE' && isPart(request.path) ? say(answer, 201) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_TARGET_CHANGED' });
  expectNoTarget(dav);
  expect(dav.files.has('/.disk.img.blockferry-part')).toBe(true);
});

test('a MOVE whose answer is lost is looked at, and was done', async () => {
  const { dav, copy } = await rig((request, answer, good) => {
    if (request.method !== 'MOVE' || !isPart(request.path)) return undefined;
    const { socket } = answer;
    answer.end = (() => answer) as typeof answer.end;
    good();
    socket?.destroy();
    return 'answered';
  });
  await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('a server that moves onto another file unasked is looked at before, and that is said', async () => {
  const { dav, copy } = await rig((request) => {
    if (request.method === 'MOVE') delete request.headers.overwrite;
    return undefined;
  });
  expect((await copy()).join()).toMatch(/may replace a file unasked/);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('a file that appears while the copy runs is left as it is', async () => {
  const { dav, copy } = await rig((request) => {
    if (request.method === 'PUT' && isPart(request.path)) dav.files.set('/disk.img', Buffer.from('theirs'));
    return undefined;
  });
  expect(await failureOf(copy())).toMatchObject({ code: 'E_TARGET_EXISTS' });
  expect(dav.files.get('/disk.img')?.toString()).toBe('theirs');
});

test.each([
  [507, 'E_NO_SPACE', /room/],
  [423, 'E_LOCKED', /lock/],
  [403, 'E_TARGET_ACCESS', /rights/],
  [413, 'E_TOO_LARGE', /limit/],
  [301, 'E_HTTP_STATUS', /leads/],
  [401, 'E_AUTH', /netrc/],
])(
  'a chunk that is answered with %i ends the copy with %s, and what was written is kept',
  async (status, code, hint) => {
    const { dav, copy } = await rig((request, answer) => {
      const late = request.method === 'PUT' && isPart(request.path) && request.body.length > 1 && request.nth > 8;
      return late ? say(answer, status, '', { location: 'http://elsewhere.test/' }) : undefined;
    });
    const error = await failureOf(copy());
    expect(error).toMatchObject({ code, hint: expect.stringMatching(hint) });
    expectNoTarget(dav);
    dav.script = () => undefined;
    await copy();
    expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  },
);

test('a server that is busy is asked again when it says', async () => {
  let refused = 0;
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PUT' && isPart(request.path) && request.nth > 6 && refused++ < 3
      ? say(answer, 503, '', { 'retry-after': '1' })
      : undefined,
  );
  await copy();
  expect(refused).toBeGreaterThan(3);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('connections that break while chunks are sent cost nothing but time', async () => {
  const { dav, copy } = await rig((request, answer) => {
    if (request.method !== 'PUT' || !isPart(request.path) || ![11, 21].includes(request.nth)) return undefined;
    answer.socket?.destroy();
    return 'answered';
  });
  await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('what a restarted server forgot of what was on record is found and written again', async () => {
  let cut = false;
  const { dav, copy } = await rig((request, answer) => {
    if (cut || request.method !== 'PUT' || !isPart(request.path) || request.nth < 9) return undefined;
    cut = true;
    // As after a power cut: what was written before is zero.
    dav.files.get(request.path)?.fill(0);
    answer.socket?.destroy();
    return 'answered';
  });
  await copy();
  expect(cut).toBe(true);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

const bomb = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><D:multistatus xmlns:D="DAV:">&b;</D:multistatus>`;

test.each([
  ['entities', bomb],
  ['thousands of levels', `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`],
  ['no XML', '{"files": []}'],
  ['an element that never ends', '<D:multistatus xmlns:D="DAV:"><D:response>'],
  ['another namespace', multistatus('/disk.img', '').replace('"DAV:"', '"EVIL:"')],
  ['no response', '<D:multistatus xmlns:D="DAV:"></D:multistatus>'],
  ['names that objects have', '<__proto__ xmlns="DAV:"><constructor/></__proto__>'],
  ['more than anybody would say', `<D:multistatus xmlns:D="DAV:">${' '.repeat(300 * KiB)}</D:multistatus>`],
])('a list of properties with %s is refused', async (_what, xml) => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PROPFIND' ? say(answer, 207, xml) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_PROTOCOL' });
  expect(dav.files.size).toBe(0);
});

test('a folder of the target that is not there is told before anything is written', async () => {
  const { dav, copy } = await rig((request, answer) => (request.path === '/sub/' ? say(answer, 404) : undefined));
  const error = await failureOf(copy({ target: `${dav.url}/sub/disk.img` }));
  expect(error).toMatchObject({ code: 'E_TARGET_FOLDER', hint: expect.stringContaining('folder') });
  expect(dav.asked.filter(({ method }) => method === 'PUT')).toEqual([]);
});

test('a quota that is too small is told before anything is written', async () => {
  const quota =
    '<D:resourcetype><D:collection/></D:resourcetype><D:quota-available-bytes>1000</D:quota-available-bytes>';
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PROPFIND' && request.path === '/' ? say(answer, 207, multistatus('/', quota)) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_NO_SPACE' });
  expect(dav.asked.some(({ method, path }) => method === 'PUT' && !isProbe(path))).toBe(false);
});

test('a server that does not know PROPFIND is no WebDAV server', async () => {
  const { copy } = await rig((request, answer) => (request.method === 'PROPFIND' ? say(answer, 405) : undefined));
  expect(await failureOf(copy())).toMatchObject({ code: 'E_PROTOCOL', message: expect.stringContaining('PROPFIND') });
});

test('whoever only asks for the state of a copy writes nothing to the server', async () => {
  const { dav } = await rig();
  const location = { scheme: 'webdav', text: `${dav.url}/disk.img`, name: 'disk' };
  const site = await webdavScheme().locateTarget?.(location, '');
  expect(site?.existing).toBeUndefined();
  expect(dav.asked.every(({ method }) => method === 'PROPFIND')).toBe(true);
});

test('user and password of a location are sent, and said nowhere', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.headers.authorization === `Basic ${Buffer.from('me:pa ss').toString('base64')}`
      ? undefined
      : say(answer, 401),
  );
  const target = dav.url.replace('//', '//me:pa%20ss@');
  await copy({ target: `${target}/disk.img` });
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  const error = await failureOf(copy({ target: `${target.replace('pa%20ss', 'wrong')}/other.img` }));
  expect(error.code).toBe('E_AUTH');
  expect(JSON.stringify(error.toJSON())).not.toMatch(/wrong|me:/);
  expect(TransferError.from(error).hint).toContain('netrc');
});

test('a server that wants digest authentication is told from one that refuses a password', async () => {
  const { copy } = await rig((_request, answer) => say(answer, 401, '', { 'www-authenticate': 'Digest realm="x"' }));
  expect(await failureOf(copy())).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('digest') });
});

test('a query is no place for secrets, nor for what nobody knows', async () => {
  const { dav, copy } = await rig();
  expect((await failureOf(copy({ target: `${dav.url}/disk.img?token=x` }))).code).toBe('E_USAGE');
  expect((await failureOf(copy({ target: `${dav.url}/disk.img?upload=never` }))).code).toBe('E_USAGE');
});
