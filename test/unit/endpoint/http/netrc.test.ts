import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findLogin, netrcLogin } from '../../../../src/endpoint/http/netrc.js';
import { failureOf, scratchFolder } from '../../../support/copying.js';

const login = (text: string, host: string, user?: string) => {
  const found = findLogin(text, host, user);
  return found && `${found.user}:${found.password}`;
};

test('the first entry of the host is taken, in whatever lines it stands, and default suits all others', () => {
  const text = 'machine one\n  login u1\n  password p1\nmachine two login u2 password p2\ndefault login d password p\n';
  expect(login(text, 'one')).toBe('u1:p1');
  expect(login(text, 'TWO')).toBe('u2:p2');
  expect(login(text, 'three')).toBe('d:p');
  expect(login('machine one login u password p', 'two')).toBeUndefined();
  expect(login('', 'one')).toBeUndefined();
});

test('a user that the location names is looked for, and no other one is taken for it', () => {
  const text = 'machine h login a password 1\nmachine h login b password 2\ndefault login c password 3\n';
  expect(login(text, 'h', 'b')).toBe('b:2');
  expect(login(text, 'h', 'c')).toBe('c:3');
  expect(login(text, 'h', 'd')).toBeUndefined();
});

test('words in quotes may have spaces, quotes, and what a backslash says', () => {
  expect(login(String.raw`machine h login "a b" password "q\"uo\\te\td"`, 'h')).toBe('a b:q"uo\\te\td');
  expect(login('machine h login a password "never ends', 'h')).toBe('a:never ends');
});

test('comments, accounts and macros are passed over; a # in a word is part of it', () => {
  const text = [
    '# machine h login no password no',
    'machine h account x login a password #1#',
    'macdef init',
    '  machine other login no password no',
    '',
    'machine other login yes password yes',
  ].join('\n');
  expect(login(text, 'h')).toBe('a:#1#');
  expect(login(text, 'other')).toBe('yes:yes');
});

test.each(['machine', 'machine h', 'login x password y', 'machine h login', 'password'])(
  'a file that ends early, or says nothing of a host, is no reason to fail: %s',
  (text) => {
    expect(login(text, 'nothing')).toBeUndefined();
  },
);

test('a file that others may read is refused, but only where it holds a password for the host', async () => {
  const path = join(scratchFolder(), 'netrc');
  writeFileSync(path, 'machine h login u password secret\n');
  chmodSync(path, 0o644);
  const error = await failureOf(netrcLogin('h', '', { NETRC: path }));
  expect(error).toMatchObject({ code: 'E_USAGE', hint: `Say: chmod 600 ${path}` });
  expect(error.message).not.toContain('secret');
  expect(await netrcLogin('other', '', { NETRC: path })).toBeUndefined();
  chmodSync(path, 0o600);
  expect(await netrcLogin('h', '', { NETRC: path })).toMatchObject({ user: 'u', password: 'secret' });
});

test('without NETRC it is .netrc in the home folder, which need not be there; one that is named must', async () => {
  const home = scratchFolder();
  expect(await netrcLogin('h', '', { HOME: home })).toBeUndefined();
  writeFileSync(join(home, '.netrc'), 'default login u password p', { mode: 0o600 });
  expect(await netrcLogin('h', '', { HOME: home })).toMatchObject({ user: 'u' });
  const error = await failureOf(netrcLogin('h', '', { NETRC: join(home, 'none') }));
  expect(error).toMatchObject({ code: 'E_USAGE', hint: 'NETRC names it: give it another value, or none.' });
  expect(await netrcLogin('h', '', { NETRC: home })).toBeUndefined();
});
