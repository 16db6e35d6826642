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
import { nowMs, systemClock } from '../core/clock.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { lockDescriptor } from './lock.js';

const LOCKED_MS_MAX = 10_000;
const LOOK_MS = 20;

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

/**
 * Has one process after the other read and replace it, so that none brings back what another has removed. Where nothing
 * can be locked they are not kept apart. @throws TransferError E_LOCKED when another one takes very long
 */
export async function changePrivately<T>(path: string, change: () => T): Promise<T> {
  const fd = openSync(`${path}.lock`, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  const begunMs = nowMs(systemClock);
  try {
    for (;;) {
      const lock = await lockDescriptor(fd).catch(() => undefined);
      if (lock !== 'busy') {
        const changed = change();
        lock?.release();
        return changed;
      }
      if (nowMs(systemClock) - begunMs > LOCKED_MS_MAX) {
        throw new TransferError('E_LOCKED', `another process is changing ${path}`, {
          hint: 'Nothing was changed. See what runs there, then say it again.',
        });
      }
      await systemClock.sleep(LOOK_MS);
    }
  } finally {
    closeSync(fd);
  }
}
