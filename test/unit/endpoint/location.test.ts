import { expect, test } from 'vitest';
import { parseLocation, redactedUrl } from '../../../src/endpoint/location.js';

test('a URL is shown without user, password and whatever its query holds, a bare token included', () => {
  const shown = redactedUrl('https://me:secret@host:8443/disk.vhd?X-Signature=secret&secret#secret');
  expect(shown).toBe('https://host:8443/disk.vhd?X-Signature=…&…');
  expect(parseLocation('http://host/disk.vhd?sig=secret').name).toBe('http://host/disk.vhd?sig=…');
});

test('what has no scheme is a path, odd as it may look, and a file URL is one too', () => {
  for (const text of ['disk.vhd', './http://x', 'C:disk', 'a b%20c', './-']) {
    expect(parseLocation(text)).toMatchObject({ scheme: 'file', text });
  }
  expect(parseLocation('file:///tmp/a%20b')).toMatchObject({ scheme: 'file', text: '/tmp/a b' });
});

test('a location that cannot be understood is refused with what was expected', () => {
  for (const text of ['', '-', 'http://', 'file://elsewhere/disk']) {
    expect(() => parseLocation(text)).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
  }
});

test('a password with a ? or # that is not encoded is asked about, and no part of it is taken for a port', () => {
  for (const text of ['http://me:12#secret@host/disk', 'sftp://me:12?secret@host/disk', 'webdavs://me?x@host/d']) {
    let message = 'nothing was thrown';
    try {
      parseLocation(text);
    } catch (thrown) {
      message = JSON.stringify([thrown, String(thrown)]);
    }
    expect(message).toMatch(/E_USAGE.*%23/);
    expect(message).not.toMatch(/secret|12/);
  }
  expect(parseLocation('https://host/a@b?mail=me@host#@').name).toBe('https://host/a@b?mail=…');
});
