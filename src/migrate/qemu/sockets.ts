/**
 * Sockets in the folder of a machine. Their whole path may be longer than a socket's may be (108 bytes), so QEMU names
 * them from its working folder, and we through a descriptor of that folder.
 */
import { closeSync } from 'node:fs';
import { openFolder } from '../../platform/folder.js';

/** Answers one at a time, so there is one for what changes the machine, and one for who only looks. */
export const CONTROL_SOCKET = 'control.sock';
export const QUERY_SOCKET = 'query.sock';
export const CONSOLE_SOCKET = 'console.sock';
export const STATE_SOCKET = 'state.sock';

/** @param work gets a short path of the folder, good for as long as it works */
export async function withShortPath<T>(folder: string, work: (short: string) => Promise<T>): Promise<T> {
  const fd = openFolder(folder);
  try {
    return await work(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}
