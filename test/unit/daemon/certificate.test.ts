import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { givenIdentity, ownIdentity } from '../../../src/daemon/certificate.js';

const scratch = mkdtempSync(join(tmpdir(), 'certificate-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const NOW = Date.UTC(2030, 0, 1);

test('the certificate is made once, signed by itself, and lasts', () => {
  const folder = mkdtempSync(join(scratch, 'own-'));
  const first = ownIdentity(folder, NOW);
  const certificate = new X509Certificate(first.cert);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.checkIssued(certificate)).toBe(true);
  expect(Date.parse(certificate.validFrom)).toBe(NOW - 24 * 60 * 60 * 1000);
  expect(new Date(certificate.validTo).getUTCFullYear()).toBe(2049);
  expect(certificate.ca).toBe(false);
  expect(ownIdentity(folder, NOW + 1)).toMatchObject({ fingerprint: first.fingerprint, made: false });
  for (const name of ['key.pem', 'cert.pem']) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  expect(ownIdentity(mkdtempSync(join(scratch, 'own-')), NOW).fingerprint).not.toBe(first.fingerprint);
});

test('OpenSSL reads it the same, also where it ends after 2049', (context) => {
  context.skip(!existsSync('/usr/bin/openssl'), 'needs openssl');
  const folder = mkdtempSync(join(scratch, 'own-'));
  const { fingerprint } = ownIdentity(folder, Date.UTC(2045, 5, 7));
  const path = join(folder, 'cert.pem');
  const ask = (...args: readonly string[]): string => execFileSync('openssl', args, { encoding: 'utf8' });
  expect(ask('x509', '-in', path, '-noout', '-fingerprint', '-sha256').replaceAll(':', '').toLowerCase()).toContain(
    fingerprint,
  );
  expect(ask('x509', '-in', path, '-noout', '-enddate')).toContain('2065');
  expect(ask('x509', '-in', path, '-noout', '-text')).toContain('prime256v1');
});

test('keys that others can read, and halves that do not fit together, are refused', () => {
  const [one, other] = ['own-', 'own-'].map((name) => mkdtempSync(join(scratch, name))) as [string, string];
  ownIdentity(one, NOW);
  ownIdentity(other, NOW);
  expect(() => givenIdentity(join(one, 'cert.pem'), join(other, 'key.pem'))).toThrow('do not belong together');
  expect(() => givenIdentity(join(one, 'none'), join(other, 'key.pem'))).toThrow('ENOENT');
  writeFileSync(join(scratch, 'noise'), 'no PEM');
  expect(() => givenIdentity(join(scratch, 'noise'), join(other, 'key.pem'))).toThrow('cannot be read');
  chmodSync(join(one, 'key.pem'), 0o644);
  expect(() => ownIdentity(one, NOW)).toThrow('others may read or change it');
});
