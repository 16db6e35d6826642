/** Where the http(s) source goes when a server sends it on, and what it tells about secrets on the way. */
import { HttpResponse, http } from 'msw';
import { MockAgent } from 'undici';
import { describe, expect, test } from 'vitest';
import { fileHandler, type Spoil } from '../../../support/http-scenarios.js';
import { readChunk } from '../../../support/reading.js';
import { answering, disk, failure, middle, middleBytes, open, openFailure, serve } from './helpers.js';

describe('redirects and secrets', () => {
  const to = (location: string): Spoil => answering(302, { location });

  test('ten redirects are followed, the eleventh is not', async () => {
    const hops = (count: number) =>
      http.get('*/hop/:n', ({ params, request }) => {
        const n = Number(params.n);
        const location = n < count ? `${new URL(request.url).origin}/hop/${n + 1}` : '/disk.img';
        return new HttpResponse(null, { status: 307, headers: { location } });
      });
    const ten = await serve(hops(10), fileHandler(disk, undefined, '*/disk.img'));
    expect((await open(`${ten.url}/hop/1`)).size).toBe(disk.length);
    const eleven = await serve(hops(11), fileHandler(disk, undefined, '*/disk.img'));
    const error = await failure(open(`${eleven.url}/hop/1`));
    expect(error).toMatchObject({ code: 'E_HTTP_STATUS', retryable: false });
    expect(error.message).toContain('more than 10 redirects');
  });

  test('a redirect from https to http is refused', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock
      .get('https://good.test')
      .intercept({ path: '/f' })
      .reply(302, '', { headers: { location: 'http://good.test/f' } });
    const error = await failure(open('https://good.test/f', mock));
    expect(error.code).toBe('E_HTTP_STATUS');
    expect(error.message).toContain('a redirect from https to http://good.test/f');
  });

  test('a redirect to nowhere, or to something that is not http, is refused', async () => {
    expect((await openFailure(to('ftp://127.0.0.1/f'))).message).toContain('leads to no http(s) URL');
    expect((await openFailure(answering(301))).code).toBe('E_HTTP_STATUS');
  });

  test('an expired redirect is resolved once more from the given URL', async () => {
    let key = 1;
    const server = await serve(
      http.get('*/disk.img', () => new HttpResponse(null, { status: 302, headers: { location: `/blob?key=${key}` } })),
      http.get('*/blob', ({ request }) =>
        new URL(request.url).searchParams.get('key') === String(key)
          ? undefined
          : new HttpResponse(null, { status: 403 }),
      ),
      fileHandler(disk, undefined, '*/blob'),
    );
    const source = await open(`${server.url}/disk.img`);
    await readChunk(source, middle);
    key = 2;
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    await readChunk(source, middle);
    expect(server.asked.map(({ path }) => path)).toEqual([
      ...['/disk.img', '/blob?key=1', '/blob?key=1'],
      ...['/blob?key=1', '/disk.img', '/blob?key=2', '/blob?key=2'],
    ]);
    expect(source.ref).toMatchObject({ finalUrl: `${server.url}/blob?key=2` });
  });

  test('an expired permission that cannot be had again is E_AUTH', async () => {
    let expired = false;
    const server = await serve(
      http.get('*/disk.img', () =>
        expired ? undefined : new HttpResponse(null, { status: 302, headers: { location: '/blob' } }),
      ),
      fileHandler(disk, (good) => (expired ? new HttpResponse(null, { status: 403 }) : good), '*'),
    );
    const source = await open(`${server.url}/disk.img`);
    expired = true;
    expect((await failure(readChunk(source, middle))).code).toBe('E_AUTH');
    expect(server.asked).toHaveLength(4);
  });

  test('user and password go to their own origin only, in every request to it', async () => {
    const elsewhere = await serve(fileHandler(disk));
    const home = await serve(
      http.get('*/near', () => new HttpResponse(null, { status: 302, headers: { location: '/far' } })),
      http.get(
        '*/far',
        () => new HttpResponse(null, { status: 302, headers: { location: `${elsewhere.url}/disk.img` } }),
      ),
      fileHandler(disk),
    );
    const withUser = home.url.replace('http://', 'http://us%40er:p%C3%A4ss@');
    const basic = `Basic ${Buffer.from('us@er:päss').toString('base64')}`;
    await readChunk(await open(`${withUser}/disk.img`), middle);
    await open(`${withUser}/near`);
    expect(home.asked.map(({ headers }) => headers.get('authorization'))).toEqual([basic, basic, basic, basic]);
    expect(elsewhere.asked.map(({ headers }) => headers.get('authorization'))).toEqual([null]);
  });

  test('no name and no message holds a password or a query value', async () => {
    const server = await serve(
      http.get(
        '*/disk.img',
        () => new HttpResponse(null, { status: 302, headers: { location: '/blob?X-Signature=hush2' } }),
      ),
      fileHandler(disk, (good, { count }) => (count === 0 ? good : new HttpResponse(null, { status: 503 })), '*/blob'),
    );
    const url = `${server.url.replace('http://', 'http://user:hush0@')}/disk.img?token=hush1`;
    const source = await open(url);
    const chunk = await failure(readChunk(source, middle));
    await server.stop();
    const dead = await failure(open(url));
    expect(source.name).toBe(`${server.url}/disk.img?token=…`);
    for (const error of [chunk, dead]) expect(JSON.stringify(error)).not.toMatch(/hush|user/);
    expect([chunk.code, dead.code]).toEqual(['E_UNAVAILABLE', 'E_NETWORK']);
  });
});
