/** Certificates of a test's own authority, made with openssl in a folder of the test. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** PEM files. */
export interface Signed {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly ca: string;
  /** A certificate for 127.0.0.1, or for the names that are given, such as `DNS:elsewhere.test`. */
  sign(name: string, subjects?: string, days?: number): Signed;
}

export function makeAuthority(folder: string): Authority {
  const ca = join(folder, 'ca.pem');
  const caKey = join(folder, 'ca.key');
  const openssl = (...args: string[]): unknown => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=Tests', '-keyout', caKey, '-out', ca);
  const sign: Authority['sign'] = (name, subjects = 'IP:127.0.0.1', days = 2) => {
    const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
    const request = join(folder, `${name}.csr`);
    openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', key, '-out', request);
    const extensions = join(folder, `${name}.ext`);
    writeFileSync(extensions, `subjectAltName=${subjects}\n`);
    const signing = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', String(days), '-extfile', extensions];
    openssl('x509', '-req', '-in', request, ...signing, '-out', cert);
    return { cert, key };
  };
  return { ca, sign };
}
