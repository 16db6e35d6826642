/**
 * How a part is known again. The protocol tells no inode, so that another file of the same size that takes the part's
 * name would look like ours. A time of access far ahead, which this run alone has chosen, tells them apart: neither
 * reads (of Linux, where such a time is left as it is) nor writes change it.
 */
import { randomInt } from 'node:crypto';
import { systemClock } from '../../core/clock.js';
import type { SftpSession } from './session.js';
import { OPEN, type RemoteStat } from './wire.js';

const YEAR_SECONDS = 365 * 24 * 3600;
/** What file systems of 32 bits keep. */
const SECONDS_MAX = 0x7fff_ffff;

/** Undefined: this server, or its file system, keeps no such time, and the part is known by its size alone. */
export async function tagPart(session: SftpSession, path: string): Promise<number | undefined> {
  const soon = nowSeconds() + YEAR_SECONDS;
  const tag = randomInt(soon, Math.max(soon + YEAR_SECONDS, SECONDS_MAX));
  const handle = await session.open(path, OPEN.read | OPEN.write);
  try {
    const { size = 0, modifiedSeconds = 0 } = await session.fstat(handle);
    await session.fsetstat(handle, { accessedSeconds: tag, modifiedSeconds });
    // Where reading or writing changes it, it tells nothing.
    const first = new Uint8Array(Math.min(1, size));
    await session.read(handle, first, 0, handle);
    await session.write(handle, first, 0, handle);
  } finally {
    await session.closeHandle(handle);
  }
  return (await session.lstat(path)).accessedSeconds === tag ? tag : undefined;
}

/** What to set when the part has its name, under which it is told by that alone; by the server's own clock. */
export function untagged(
  { modifiedSeconds = 0 }: RemoteStat,
  { accessedSeconds = modifiedSeconds }: RemoteStat = {},
): RemoteStat {
  return { accessedSeconds, modifiedSeconds };
}

/** Whether it may be one: nobody else gives a file such a time. */
export function isTagged({ accessedSeconds = 0 }: RemoteStat): boolean {
  return accessedSeconds > nowSeconds() + YEAR_SECONDS / 2;
}

function nowSeconds(): number {
  return Math.floor(systemClock.wallMs() / 1000);
}
