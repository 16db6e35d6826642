/** `blockferry leftovers`: uploads that nobody finished, and, when told to, their end. */
import { systemClock } from '../../core/clock.js';
import { leftovers } from '../../index.js';
import type { LeftoversFlags } from '../program.js';
import type { Session } from '../session.js';

const DAY_MS = 24 * 60 * 60 * 1000;

export async function runLeftovers(session: Session, location: string, flags: LeftoversFlags): Promise<number> {
  const before = systemClock.wallMs() - flags.olderThan * DAY_MS;
  const found = await leftovers(location, flags.abort ? { abortBeforeMs: before } : {});
  if (flags.json) {
    session.out.json({ schema: 1, type: 'leftovers', uploads: found });
    return 0;
  }
  for (const { name, begunAtMs, resumable, aborted } of found) {
    const what = aborted ? ': aborted' : resumable ? ': a copy from here goes on with it' : '';
    session.out.line(`${new Date(begunAtMs).toISOString()}  ${name}${what}`);
  }
  const count = (what: string, of: number): string => `${of} ${what}`;
  const ended = found.filter(({ aborted }) => aborted).length;
  session.out.line(
    `${count('unfinished uploads', found.length)}${flags.abort ? `, ${count('of them aborted', ended)}` : ''}`,
  );
  return 0;
}
