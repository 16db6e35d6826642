/**
 * Whether somebody has a file open for writing: asked with a lease of fcntl(2), which the kernel gives only when nobody
 * of this machine has. The lease is given back at once.
 */
import { constants } from 'node:os';
import { libc } from './libc.js';

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;

/**
 * @param fd opened for reading only; another descriptor of this process that can write counts as well
 * @returns undefined where that cannot be told: without koffi, for files of other owners, on some file systems
 */
export function isOpenForWriting(fd: number): boolean | undefined {
  const native = libc();
  if (native === undefined) return undefined;
  // Who opens the file in just that moment makes the kernel send a signal, and its usual one ends a process.
  if (native.fcntl(fd, F_SETSIG, constants.signals.SIGURG) < 0) return undefined;
  const answer = native.fcntl(fd, F_SETLEASE, F_RDLCK);
  if (answer === -constants.errno.EAGAIN) return true;
  if (answer < 0) return undefined;
  native.fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}
