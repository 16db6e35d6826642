/** `blockferry status`: what is known of a target and of its partial copy, without touching either. */
import { readFileSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
import { systemClock } from '../../core/clock.js';
import { ERROR_KINDS, errnoOf, TransferError } from '../../core/errors.js';
import { type PartialStatus, status } from '../../index.js';
import type { OutputFlags } from '../option-values.js';
import { nothingLine, statusLines } from '../render/summary.js';
import type { Session } from '../session.js';

export async function runStatus(session: Session, target: string, flags: OutputFlags): Promise<number> {
  const found = await status(target);
  const holder = holderOf(found.partial?.lastOpened);
  const nothing = !found.exists && !found.partial && !found.half;
  if (flags.json) {
    session.out.json({ schema: 1, type: 'status', ...found, ...(holder && { process: holder }) });
    return nothing ? ERROR_KINDS.E_USAGE.exitCode : 0;
  }
  if (nothing) {
    throw new TransferError('E_USAGE', nothingLine(found.target), {
      hint: 'Give the target of the copy, as in: blockferry copy <source> <target>.',
    });
  }
  for (const line of statusLines(found, holder)) session.out.line(line);
  return 0;
}

type Opened = NonNullable<PartialStatus['partial']>['lastOpened'];

const TICKS_PER_SECOND = 100;
/** How far the two clocks that are compared may be apart. */
const TOLERANCE_MS = 5000;

/** Whether the process that opened the partial last still runs; undefined when that cannot be told from this host. */
function holderOf(opened: Opened): 'running' | 'gone' | undefined {
  if (!opened || opened.host !== hostname() || process.platform !== 'linux') return undefined;
  try {
    const stat = readFileSync(`/proc/${opened.pid}/stat`, 'latin1');
    // Field 3 is the state, and 22 the start in ticks since boot; the name in field 2 may hold anything.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Killed, and nobody has asked for its exit code, as in a container without an init.
    if (state === 'Z') return 'gone';
    const startedTicks = Number(fields[18]);
    const startedAt = systemClock.wallMs() - (uptime() - startedTicks / TICKS_PER_SECOND) * 1000;
    // A process that began after the partial was opened only has the same number.
    return startedAt <= opened.at + TOLERANCE_MS ? 'running' : 'gone';
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ESRCH') return 'gone';
    throw thrown;
  }
}
