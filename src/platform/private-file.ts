/** Small files with secrets: for their owner alone, and replaced as a whole, so that no reader meets half of one. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { errnoOf, TransferError } from '../core/errors.js';

/** Its content; undefined where there is none. @throws TransferError E_AUTH when others may read it */
export function assertPrivate(path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
  try {
    assertOnlyOurs(path, fstatSync(fd));
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** @throws TransferError E_AUTH when others may read the file, or do what these bits of its mode let them do */
export function assertOnlyOurs(path: string, stat: Stats, forbidden = 0o077): void {
  const { mode, uid } = stat;
  const ours = uid === (process.geteuid?.() ?? uid) || uid === 0;
  if ((mode & forbidden) === 0 && ours) return;
  throw new TransferError('E_AUTH', `${path} holds secrets, and others may read or change it`, {
    hint: `See who did; then: chmod ${stat.isDirectory() ? 700 : 600} ${path}`,
  });
}

/** Makes or replaces it, durable under its name. */
export function writePrivately(path: string, content: string | Uint8Array): void {
  const hidden = `${path}.${randomBytes(6).toString('hex')}`;
  const fd = openSync(hidden, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeSync(fd, Buffer.from(content));
    fsyncSync(fd);
    renameSync(hidden, path);
  } catch (thrown) {
    rmSync(hidden, { force: true });
    throw thrown;
  } finally {
    closeSync(fd);
  }
}
