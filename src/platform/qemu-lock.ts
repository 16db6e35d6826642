/**
 * The locks by which QEMU's programs keep out of each other's images (block/file-posix.c): a shared lock on one byte
 * for each thing that is done to the file, and on another for each thing that nobody else may do meanwhile; who comes
 * later looks whether somebody has the byte that speaks against it. Locks of an open file description, which go when
 * it is closed, and, unlike those of a process, not sooner.
 */
import { constants } from 'node:os';
import { libc } from './libc.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

/** The bytes begin here; the permissions are the bits of BlockPermission. */
const DOING_AT = 100;
const FORBIDDING_AT = 200;
const [READ, WRITE, RESIZE] = [0, 1, 3];

/** Who reads an image relies on what is in it. */
const DOES = { read: [READ], write: [READ, WRITE, RESIZE] } as const;
const FORBIDS = [WRITE, RESIZE] as const;

const { EAGAIN, EACCES } = constants.errno;

/**
 * Takes the locks of a QEMU that reads or writes the image, and lets nobody write to it, as long as the descriptor is
 * open. It must not be locked already. `unknown`: there are no such locks, as without koffi or on some file systems.
 */
export function lockForQemu(fd: number, access: 'read' | 'write'): 'held' | 'busy' | 'unknown' {
  const native = libc();
  if (!native) return 'unknown';
  const mine = [...DOES[access].map((bit) => DOING_AT + bit), ...FORBIDS.map((bit) => FORBIDDING_AT + bit)];
  const against = [...DOES[access].map((bit) => FORBIDDING_AT + bit), ...FORBIDS.map((bit) => DOING_AT + bit)];
  // As QEMU does it: first taken, then looked, so that of two that come at once both see each other.
  for (const byte of mine) {
    const answer = native.fcntlLock(fd, F_OFD_SETLK, lockOf(F_RDLCK, byte));
    if (answer === -EAGAIN || answer === -EACCES) return 'busy';
    if (answer < 0) return 'unknown';
  }
  for (const byte of against) {
    const lock = lockOf(F_WRLCK, byte);
    const answer = native.fcntlLock(fd, F_OFD_GETLK, lock);
    if (answer < 0) return 'unknown';
    if (lock.readInt16LE(0) !== F_UNLCK) return 'busy';
  }
  return 'held';
}

/** struct flock of the 64-bit systems: type, whence, start, length, and a process that must be 0. */
function lockOf(type: number, byte: number): Buffer {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(type, 0);
  lock.writeBigInt64LE(BigInt(byte), 8);
  lock.writeBigInt64LE(1n, 16);
  return lock;
}
