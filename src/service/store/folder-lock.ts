/** One service per state folder: whoever comes second is told who is there. */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { TransferError } from '../../core/errors.js';
import { lockDescriptor } from '../../platform/lock.js';

const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;

/**
 * Held until this thread ends. A file of its own, since SQLite's locks on the database end with any descriptor of it
 * that this process closes. @throws TransferError E_LOCKED
 */
export async function lockFolder(path: string): Promise<void> {
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    const lock = await lockDescriptor(fd);
    if (lock === 'busy') throw inUse(path, fd);
    ftruncateSync(fd);
    writeSync(fd, `${process.pid} ${hostname()}\n`, 0);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

function inUse(path: string, fd: number): TransferError {
  const [, pid, host] = /^(\d{1,10}) (\S{1,255})\s*$/.exec(readFileSync(fd, 'latin1')) ?? [];
  const holder = pid === undefined ? 'another process' : `process ${pid} on ${host}`;
  return new TransferError('E_LOCKED', `the jobs in ${dirname(path)} are in use by a service: ${holder}`, {
    hint: 'Use that service, end it first, or name another state folder with --state.',
  });
}
