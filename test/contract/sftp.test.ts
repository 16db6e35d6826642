/** A file of a real OpenSSH server, as an end of a copy: it promises what every end promises. */
import { existsSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, vi } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { SftpClient } from '../../src/endpoint/sftp/client.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { type Sshd, sshdMissing, startSshd } from '../support/sshd.js';
import { sourceContract } from './source-contract.js';
import { targetContract } from './target-contract.js';

const SIZE = 700 * KiB + 33;
const missing = sshdMissing();
const client = new SftpClient();
const scheme = sftpScheme(client);
let sshd: Sshd;

beforeAll(async () => {
  if (missing !== '') return;
  sshd = await startSshd();
  vi.stubEnv('HOME', sshd.home);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await client.close();
  await sshd?.stop();
});

sourceContract('a file behind OpenSSH', async () => {
  if (missing !== '') return missing;
  const path = join(mkdtempSync(join(sshd.start, 'source-')), 'disk.img');
  writeMixedFile(path, SIZE, new Seeded(31));
  utimesSync(path, 900_000_000, 900_000_000);
  const change = async (): Promise<void> => {
    writeFileSync(path, new Seeded(32).bytes(SIZE));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
  };
  const location = parseLocation(sshd.url(path));
  const nothing = parseLocation(`sftp://127.0.0.1:${sshd.port}/~/none`);
  return { scheme, location, bytes: readFileSync(path), missing: nothing, change };
}, ['extents']);

targetContract('a file behind OpenSSH', async () => {
  if (missing !== '') return missing;
  const path = join(mkdtempSync(join(sshd.start, 'target-')), 'copy.img');
  const read = () => (existsSync(path) ? readFileSync(path) : undefined);
  return { scheme, location: parseLocation(sshd.url(path)), read };
});
