/** What a server is asked with: which credentials win, and what is refused before anything is sent. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { HttpAsked } from '../../../../src/core/http-options.js';
import { headersFor, httpAccess, tlsFor } from '../../../../src/endpoint/http/access.js';
import { makeAuthority } from '../../../support/certificates.js';
import { failureOf, scratchFolder } from '../../../support/copying.js';
import { needTool } from '../../../support/disk-tools.js';

const HOME = '/nonexistent';

async function sent(url: string, options: HttpAsked = {}, env: NodeJS.ProcessEnv = {}) {
  return (await httpAccess(new URL(url), options, { HOME, ...env })).headers.authorization;
}

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

function secretFile(text: string, mode = 0o600): string {
  const path = join(scratchFolder(), 'secret');
  writeFileSync(path, text, { mode });
  return path;
}

test('a header of one says who asks before all else, then the URL, a token, and the netrc file', async () => {
  const netrc = secretFile('machine host login n password np\n');
  const env = { NETRC: netrc, BLOCKFERRY_HTTP_TOKEN: 'tok' };
  const headers = { Authorization: 'Custom x' };
  expect(await sent('https://u:p@host/f', { headers }, env)).toBe('Custom x');
  expect(await sent('https://u:p@host/f', {}, env)).toBe(basic('u:p'));
  expect(await sent('https://host/f', { tokenFile: secretFile('file-token\n') }, env)).toBe('Bearer file-token');
  expect(await sent('https://host/f', {}, env)).toBe('Bearer tok');
  expect(await sent('https://host/f', {}, { NETRC: netrc })).toBe(basic('n:np'));
  expect(await sent('https://n@host/f', {}, env)).toBe(basic('n:np'));
  expect(await sent('https://m@host/f', {}, env)).toBe(basic('m:'));
  expect(await sent('https://elsewhere/f', {}, { NETRC: netrc })).toBeUndefined();
  expect(await sent('https://host/f', { isOther: true }, { BLOCKFERRY_HTTP_TOKEN: 'tok' })).toBeUndefined();
});

test('a token goes over https, or to this machine, and not over plain http', async () => {
  const env = { BLOCKFERRY_HTTP_TOKEN: 'secret' };
  for (const host of ['localhost', '127.0.0.1:8080', '[::1]'])
    expect(await sent(`http://${host}/f`, {}, env)).toBeDefined();
  const error = await failureOf(sent('http://host/f', {}, env));
  expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('http://host/f') });
  expect(JSON.stringify(error.toJSON())).not.toContain('secret');
});

test.each([
  ['a token with a space', { tokenFile: () => secretFile('secret x') }],
  ['an empty token file', { tokenFile: () => secretFile('') }],
  ['a token file that others may read', { tokenFile: () => secretFile('secret', 0o644) }],
  ['a token file that is not there', { tokenFile: () => '/nonexistent/token' }],
  ['a certificate that is none', { certFile: () => secretFile('secret') }],
  ['an authority that is none', { caFile: () => secretFile('') }],
  ['a key without a certificate', { keyFile: () => secretFile('secret') }],
  ['an authority that is a folder', { caFile: () => scratchFolder() }],
])('%s is refused, by its name', async (_what, files) => {
  const options = Object.fromEntries(Object.entries(files).map(([name, make]) => [name, make()]));
  const error = await failureOf(sent('https://host/f', options));
  expect(error).toMatchObject({ code: 'E_USAGE', hint: expect.stringMatching(/\.$|600/) });
  expect(error.message).not.toMatch(/secret x|: secret/);
});

test.each([
  ['Range', 'bytes=0-1'],
  ['if-match', '"x"'],
  ['Host', 'other'],
  ['Content-Length', '1'],
  ['Transfer-Encoding', 'chunked'],
  ['Accept-Encoding', 'gzip'],
  ['Proxy-Authorization', 'x'],
  ['X-Two', 'a\r\nX-Three: b'],
  ['X-Nul', 'a\0'],
  ['X Space', 'a'],
  ['', 'a'],
])('the header %j is not sent', async (name, value) => {
  expect(await failureOf(sent('https://host/f', { headers: { [name]: value } }))).toMatchObject({ code: 'E_USAGE' });
});

test('what is for the server of the location goes to no other one, and its authorities go along', async (context) => {
  needTool(context, 'openssl', ['version']);
  const folder = scratchFolder();
  const authority = makeAuthority(folder);
  const { cert, key } = authority.sign('client');
  const options = { headers: { 'X-Key': 'k' }, caFile: authority.ca, certFile: cert, keyFile: key };
  const access = await httpAccess(new URL('https://host/f'), options, { HOME });
  expect(headersFor(access, new URL('https://host/other'))).toEqual({ 'x-key': 'k' });
  for (const url of ['https://host:444/', 'http://host/', 'https://elsewhere/']) {
    expect(headersFor(access, new URL(url)), url).toEqual({});
    expect(Object.keys(tlsFor(access, new URL(url))), url).toEqual(['ca']);
  }
  expect(Object.keys(tlsFor(access, new URL('https://host/')))).toEqual(['cert', 'key', 'ca']);
  const other = authority.sign('other');
  const error = await failureOf(
    httpAccess(new URL('https://host/f'), { certFile: cert, keyFile: other.key }, { HOME }),
  );
  expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining(other.key) });
});
