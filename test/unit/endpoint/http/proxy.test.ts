import { expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import { proxyOf, proxyRules } from '../../../../src/endpoint/http/proxy.js';

const proxyFor = (env: NodeJS.ProcessEnv, url: string) => proxyOf(proxyRules(env), new URL(url));

test('each scheme has its proxy, ALL_PROXY is for both, and names in lower case win', () => {
  const env = { HTTP_PROXY: 'http://a:1', HTTPS_PROXY: 'http://b:2', ALL_PROXY: 'http://c:3' };
  expect(proxyFor(env, 'http://h/')).toEqual({ url: 'http://a:1' });
  expect(proxyFor(env, 'https://h/')).toEqual({ url: 'http://b:2' });
  expect(proxyFor({ ...env, http_proxy: 'http://d:4' }, 'http://h/')).toEqual({ url: 'http://d:4' });
  expect(proxyFor({ ALL_PROXY: 'https://c:3' }, 'https://h/')).toEqual({ url: 'https://c:3' });
  expect(proxyFor({}, 'https://h/')).toBeUndefined();
});

test('a proxy without a scheme is one of http, and its user and password are for it alone', () => {
  expect(proxyFor({ http_proxy: 'us%40er:p%C3%A4ss@proxy:3128' }, 'http://h/')).toEqual({
    url: 'http://proxy:3128',
    authorization: `Basic ${Buffer.from('us@er:päss').toString('base64')}`,
  });
});

test('in a CGI program HTTP_PROXY is what a visitor sends, and counts for nothing', () => {
  expect(proxyFor({ HTTP_PROXY: 'http://a:1', REQUEST_METHOD: 'GET' }, 'http://h/')).toBeUndefined();
  expect(proxyFor({ http_proxy: 'http://a:1', REQUEST_METHOD: 'GET' }, 'http://h/')).toBeDefined();
});

test.each([
  ['example.com', 'http://example.com/', true],
  ['example.com', 'http://a.example.com/', true],
  ['.example.com', 'http://a.example.com/', true],
  ['*.example.com', 'http://example.com/', true],
  ['example.com', 'http://badexample.com/', false],
  ['EXAMPLE.com', 'http://Example.COM/', true],
  ['example.com:8080', 'http://example.com:8080/', true],
  ['example.com:8080', 'http://example.com/', false],
  ['example.com:443', 'https://example.com/', true],
  ['other, 10.0.0.0/8', 'http://10.1.2.3/', true],
  ['10.0.0.0/8', 'http://11.1.2.3/', false],
  ['10.0.0.0/99', 'http://10.1.2.3/', false],
  ['1.2.3.4', 'http://5.1.2.3.4.example/', false],
  ['::1', 'http://[::1]/', true],
  ['[::1]:81', 'http://[::1]:81/', true],
  ['fd00::/8', 'http://[fd12::1]/', true],
  ['*', 'https://anything/', true],
  ['', 'http://h/', false],
])('NO_PROXY %j for %s: asked directly is %s', (except, url, direct) => {
  expect(proxyFor({ ALL_PROXY: 'http://p:1', NO_PROXY: except }, url) === undefined).toBe(direct);
});

test.each(['socks5://secret:secret@p:1', 'http://', 'http://secret@[::'])(
  'what is no proxy of http is refused without a word of it: %s',
  (text) => {
    let thrown: unknown;
    try {
      proxyFor({ ALL_PROXY: text }, 'https://h/');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(TransferError);
    expect(thrown).toMatchObject({ code: 'E_USAGE' });
    expect(JSON.stringify((thrown as TransferError).toJSON())).not.toContain('secret');
  },
);
