import { expect, test } from 'vitest';
import { bytesOf, CHUNK, failureOf } from '../../../support/copying.js';
import { bytes, isPart, rig, SIZE } from '../../../support/dav-copy.js';
import { type DavServer, say } from '../../../support/dav-server.js';

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

test('a server of which no ranges can be read gets the file by one PUT: nothing of it could be proven', async () => {
  const { dav, copy } = await rig((request) => {
    if (request.method === 'GET') delete request.headers.range;
    return undefined;
  });
  expect((await copy({ chunkBytes: 0 })).join()).toMatch(/in one piece/);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
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

test('a copy that was begun by ranges is not gone on with by one PUT, and can go on by ranges', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PUT' && isPart(request.path) && request.nth > 8 ? say(answer, 403) : undefined,
  );
  await failureOf(copy());
  dav.script = () => undefined;
  const whole = { target: `${dav.url}/disk.img?upload=whole`, chunkBytes: 0 };
  expect(await failureOf(copy(whole))).toMatchObject({ code: 'E_USAGE', hint: expect.stringContaining('--discard') });
  await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

test('a MOVE that was answered with success and not done is found out', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'MOVE' && isPart(request.path) ? say(answer, 201) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_TARGET_CHANGED' });
  expectNoTarget(dav);
  expect([...dav.files.keys()].some(isPart)).toBe(true);
});

test('a MOVE that loses the file, and leaves an older one of the same size, is found out', async () => {
  const { dav, copy } = await rig((request, answer) => {
    if (request.method !== 'MOVE' || !isPart(request.path)) return undefined;
    dav.files.delete(request.path);
    return say(answer, 204);
  });
  dav.files.set('/disk.img', bytesOf(SIZE, 'old'));
  expect(await failureOf(copy({ overwrite: true }))).toMatchObject({ code: 'E_TARGET_CHANGED' });
});

test('a file whose SHA-256 the server calls another one is not taken for stored', async () => {
  const { dav, copy } = await rig((request, answer, good) => {
    const wanted = request.headers['want-repr-digest'] !== undefined;
    if (wanted) answer.setHeader('repr-digest', `sha-256=:${Buffer.alloc(32).toString('base64')}:`);
    good();
    return 'answered';
  });
  const target = `${dav.url}/disk.img?upload=whole`;
  expect(await failureOf(copy({ target, chunkBytes: 0, algorithm: 'sha256' }))).toMatchObject({
    code: 'E_TARGET_WRITE',
  });
  expectNoTarget(dav);
});

test('a URL with a signature is written to by one PUT, and nothing else is asked for', async () => {
  const { dav, copy } = await rig((request, answer) => (request.method === 'PUT' ? undefined : say(answer, 403)));
  const notes = await copy({ target: `${dav.http}/disk.img?signature=secret`, chunkBytes: 0 });
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  expect(dav.asked.filter(({ method }) => method === 'PUT').map(({ headers }) => headers['if-none-match'])).toEqual([
    '*',
  ]);
  expect(notes.join()).toMatch(/straight to its name.*does not show whether a file is there.*lets nobody see/s);
  expect(notes.join()).not.toContain('secret');
});

test('a piece that a broken request left under the name is not taken for a file that was there before', async () => {
  const { dav, copy } = await rig((request, answer) => {
    if (request.method !== 'PUT' || request.nth > 0) return undefined;
    dav.files.set(request.path, request.body.subarray(0, CHUNK));
    answer.socket?.destroy();
    return 'answered';
  });
  const target = `${dav.http}/disk.img?signature=secret`;
  const error = await failureOf(copy({ target, chunkBytes: 0 }));
  expect(error).toMatchObject({ code: 'E_TARGET_EXISTS', message: expect.stringContaining('piece of this very file') });
  await copy({ target, chunkBytes: 0, overwrite: true });
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
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

test('what a server forgot during the last looks before the MOVE gets no name', async () => {
  let sent = 0;
  let cut = false;
  const { dav, copy } = await rig((request, answer) => {
    if (request.method === 'PUT' && isPart(request.path) && request.body.length > 1) sent += request.body.length;
    if (cut || sent < SIZE || request.method !== 'PROPFIND' || isPart(request.path)) return undefined;
    cut = true;
    for (const [path, file] of dav.files) if (isPart(path)) file.fill(0);
    answer.socket?.destroy();
    return 'answered';
  });
  expect(await failureOf(copy())).toMatchObject({ code: 'E_FLUSH' });
  expectNoTarget(dav);
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

test('a lock on the partial file can only be of ours, and is waited for', async () => {
  let refused = 0;
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PUT' && isPart(request.path) && request.nth > 6 && refused++ < 1 ? say(answer, 423) : undefined,
  );
  await copy();
  expect(refused).toBeGreaterThan(1);
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
});

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

test('what a server forgot of what was on record, as after a power cut, is found and written again', async () => {
  let cut = false;
  const { dav, copy, recorded } = await rig(async (request, answer) => {
    if (cut || request.method !== 'PUT' || !isPart(request.path) || request.headers['content-range'] === undefined)
      return undefined;
    if (!request.headers['content-range'].startsWith(`bytes ${4 * CHUNK}-`)) return undefined;
    cut = true;
    await recorded;
    dav.files.get(request.path)?.fill(0);
    answer.socket?.destroy();
    return 'answered';
  });
  const notes = await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  expect(notes.join()).toMatch(/on record are proven again.*were copied again/s);
});
