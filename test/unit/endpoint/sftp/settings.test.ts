import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { readPlace } from '../../../../src/endpoint/sftp/address.js';
import { fingerprintOf, KnownHosts, matchesPatterns } from '../../../../src/endpoint/sftp/known-hosts.js';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sftp-settings-'));
  mkdirSync(join(home, '.ssh'));
  vi.stubEnv('HOME', home);
  vi.stubEnv('SSH_AUTH_SOCK', '/run/agent');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

const configure = (...lines: string[]): void => writeFileSync(join(home, '.ssh', 'config'), lines.join('\n'));
const place = (url: string) => readPlace(parseLocation(url));

/** As a server sends it: its type, then some bytes. */
function keyOf(type: string, content: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return Buffer.concat([length, Buffer.from(type), Buffer.from(content)]);
}

function known(...lines: string[]): KnownHosts {
  const path = join(home, 'known');
  writeFileSync(path, lines.join('\n'));
  return new KnownHosts([path, join(home, 'none')]);
}

describe('patterns', () => {
  test.each([
    [['*'], 'any.host', true],
    [['*.example.org'], 'a.b.example.org', true],
    [['*.example.org'], 'example.org', false],
    [['10.0.?.1'], '10.0.7.1', true],
    [['*.org', '!b.org'], 'a.org', true],
    [['*.org', '!b.org'], 'b.org', false],
    [['!b.org'], 'a.org', false],
    [['a*b*c'], 'aXbYbZc', true],
    [['a*b*c'], 'aXbYbZ', false],
    [[''], '', true],
  ] as const)('%j and %s', (patterns, name, matches) => {
    expect(matchesPatterns(patterns, name)).toBe(matches);
  });

  test('none takes for ever', () => {
    expect(matchesPatterns(['*a'.repeat(500)], 'a'.repeat(499))).toBe(false);
  });
});

describe('known hosts', () => {
  const key = keyOf('ssh-ed25519', 'one');
  const line = (host: string, of = key, type = 'ssh-ed25519'): string => `${host} ${type} ${of.toString('base64')} x`;
  const server = { host: 'Vault.example.org', port: 22 };

  test('a name is found as it is, by a pattern, hashed, and with its port', () => {
    const salt = Buffer.alloc(20, 7);
    const hash = createHmac('sha1', salt).update('vault.example.org').digest('base64');
    for (const host of [
      'vault.example.org',
      'a,VAULT.example.org',
      '*.example.org',
      `|1|${salt.toString('base64')}|${hash}`,
    ])
      expect(known('', '# comment', line(host)).judge(server, key)).toEqual({ is: 'known' });
    const other = { ...server, port: 2222 };
    expect(known(line('[vault.example.org]:2222')).judge(other, key)).toEqual({ is: 'known' });
  });

  test('the very key of a host is known at its other ports, too, where nothing else is said of them', () => {
    const other = { ...server, port: 2222 };
    const plain = line('vault.example.org');
    const two = keyOf('ssh-ed25519', 'two');
    expect(known(plain).judge(other, key)).toEqual({ is: 'known' });
    expect(known(plain).typesOf(other)).toEqual(['ssh-ed25519']);
    expect(known(plain).judge(other, two)).toEqual({ is: 'unknown', otherTypes: [] });
    expect(known(plain, `@revoked ${plain}`).judge(other, key)).toMatchObject({ is: 'revoked' });
    expect(known(plain, line('[vault.example.org]:2222', two)).judge(other, key)).toMatchObject({ is: 'changed' });
    expect(known(line('[vault.example.org]:2222')).judge(server, key)).toMatchObject({ is: 'unknown' });
  });

  test('another key of the same type is a change, and one of another type is not known', () => {
    const hosts = known(line('*'));
    expect(hosts.judge(server, keyOf('ssh-ed25519', 'two'))).toMatchObject({ is: 'changed', place: /known, line 1$/ });
    const rsa = keyOf('ssh-rsa', 'three');
    expect(hosts.judge(server, rsa)).toEqual({ is: 'unknown', otherTypes: ['ssh-ed25519'] });
    expect(known(line('*'), line('*', rsa, 'ssh-rsa')).typesOf(server)).toEqual(['ssh-ed25519', 'ssh-rsa']);
  });

  test('what is revoked stays so, wherever it stands, and an authority vouches for nobody here', () => {
    expect(known(line('*'), `@revoked ${line('*')}`).judge(server, key)).toMatchObject({ is: 'revoked' });
    expect(known(`@cert-authority ${line('*')}`).judge(server, key)).toEqual({ is: 'unknown', otherTypes: [] });
  });

  test('what is no line of such a file is passed over', () => {
    const hosts = known('vault', 'vault ssh-ed25519', '|1|x', '@revoked', '\0\0\0', line('|2|a|b'), line('|1|a|b'));
    expect(hosts.judge(server, key)).toEqual({ is: 'unknown', otherTypes: [] });
  });

  test('a fingerprint is shown as ssh-keygen shows it', () => {
    expect(fingerprintOf(Buffer.from('x'))).toBe('SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE');
  });
});

describe('where a location leads', () => {
  test('host, port, user and path come from the URL, and the path is decoded', () => {
    const { address, path, fromHome } = place('sftp://me%40home@Vault:2222/srv/a%20b%23.img');
    expect({ ...address, path, fromHome }).toMatchObject({
      ...{ alias: 'Vault', host: 'vault', port: 2222, user: 'me@home', path: '/srv/a b#.img', fromHome: false },
      ...{ agent: '/run/agent', identities: [], identitiesOnly: false },
    });
    expect(place('sftp://vault/~/a/b')).toMatchObject({ path: 'a/b', fromHome: true, address: { port: 22 } });
    expect(place('sftp://[::1]/x').address).toMatchObject({ host: '::1' });
  });

  test('the first setting that suits counts, in quotes or with an equals sign, and several keys add up', () => {
    configure(
      'Host vault # the old one',
      'HostName=%h.example.org',
      ' IdentityFile "~/.ssh/a key"',
      'IdentityAgent none',
      'Match host *.example.org user root',
      'Port 2222',
      'Match exec "true"',
      'User nobody',
      'Host *',
      'Port 22',
      'IdentityFile ~/.ssh/%r_%p',
    );
    const { address } = place('sftp://root@vault/x');
    expect(address).toMatchObject({ host: 'vault.example.org', port: 2222, user: 'root' });
    expect(address.identities).toEqual([join(home, '.ssh/a key'), join(home, '.ssh/root_2222')]);
    expect(address.agent).toBeUndefined();
  });

  test.each(['abc', '0', '65536', '-1'])('a port that is none is told: %s', (port) => {
    configure('Host vault', `Port ${port}`);
    expect(() => place('sftp://vault/x')).toThrow(/is no port/);
    expect(place('sftp://vault:2022/x').address.port).toBe(2022);
  });

  test('files that include each other are told', () => {
    configure('Include config');
    expect(() => place('sftp://vault/x')).toThrow(/too many files include each other/);
  });

  test.each([
    ['sftp:///path', /no host/],
    ['sftp://vault', /no path/],
    ['sftp://vault/~/', /no path/],
    ['sftp://vault/a%00b', /zero byte/],
    ['sftp://vault/a#b', /%23/],
    ['sftp://vault/%ff', /cannot be read as a URL/],
    ['sftp://vault/x?password=y', /knows no option "password"/],
    ['sftp://me:pass@vault/x', /holds no password/],
  ])('%s is refused', (url, says) => {
    expect(() => place(url)).toThrow(says);
  });
});
