/**
 * One holder per file, for as long as a process lives: the kernel lets go when the holder dies, so no lock is ever
 * stale. Never an fcntl lock: a process loses those when it closes any descriptor of the file.
 */
import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoOf } from '../core/errors.js';
import { errnoError, libc } from './libc.js';

export interface HeldLock {
  /** Lets the next holder in; harmless when called twice, as long as the descriptor is still open. */
  release(): void;
}

const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Node's releases differ in how they fill up a shorter abstract name; a full one is the same name in all of them. */
const SUN_PATH_BYTES = 108;

const { EAGAIN, EINVAL, EOPNOTSUPP, ENOSYS, ENOLCK } = constants.errno;
const UNSUPPORTED: ReadonlySet<number> = new Set([-EINVAL, -EOPNOTSUPP, -ENOSYS, -ENOLCK]);

/**
 * Locks the file behind an open descriptor, or says that somebody else has it; never waits for the other holder.
 *
 * With koffi this is flock(2): it holds between all openings of the file, within a process too, and between hosts where
 * the network file system carries it. Without koffi, or where the file system has no flock, it is an abstract Unix
 * socket named by device and inode. That one keeps out only processes of the same host and network namespace that lock
 * in the same way, and any local user can take the name first. @throws errno Errors; ENOTSUP where neither way exists
 */
export async function lockDescriptor(fd: number): Promise<HeldLock | 'busy'> {
  const native = libc();
  const answer = native?.flock(fd, LOCK_EX | LOCK_NB);
  if (native === undefined || answer === undefined || UNSUPPORTED.has(answer)) return lockBySocket(fd);
  if (answer === -EAGAIN) return 'busy';
  if (answer < 0) throw errnoError('flock', answer);
  let held = true;
  return {
    release: () => {
      if (held) native.flock(fd, LOCK_UN);
      held = false;
    },
  };
}

async function lockBySocket(fd: number): Promise<HeldLock | 'busy'> {
  if (process.platform !== 'linux') throw errnoError('flock', -EOPNOTSUPP);
  const { createServer } = await import('node:net');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.on('error', (error) => (errnoOf(error) === 'EADDRINUSE' ? resolve('busy') : reject(error)));
    // `exclusive` keeps node:cluster from sharing one listening socket among its workers.
    server.listen({ path: `\0blockferry-${dev}-${ino}`.padEnd(SUN_PATH_BYTES, '-'), exclusive: true }, () =>
      resolve({ release: () => void (server.listening && server.close()) }),
    );
  });
}
