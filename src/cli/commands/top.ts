/** `blockferry top`: the jobs of the service on the terminal, live, until somebody leaves. */
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { ServiceClient } from '../../daemon/client.js';
import { onInterrupt } from '../follow.js';
import { topLines } from '../render/top-lines.js';
import { withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';

const LOOK_EVERY_MS = 1000;

export async function runTop(session: Session, flags: ServiceFlags): Promise<number> {
  const { stream } = session.out;
  if (!stream.isTTY || !stream.columns || !stream.rows || process.env.TERM === 'dumb') {
    throw new TransferError('E_USAGE', 'top draws on a terminal, and the output is none', {
      hint: 'Say: blockferry job list',
    });
  }
  const { createLogUpdate } = await import('log-update');
  const draw = createLogUpdate(stream);
  const stop = new AbortController();
  const done = onInterrupt(session, () => stop.abort());
  const colour = (process.env.NO_COLOR ?? '') === '';
  session.cursorHidden = true;
  try {
    await withService(flags, async (client) => {
      // Where no service is, that is told at once; later it may only be away.
      for (let lines = await look(client); !stop.signal.aborted; lines = await look(client).catch(away)) {
        const { columns, rows } = stream;
        draw(lines({ columns: columns - 1, rows, colour }).join('\n'));
        await systemClock.sleep(LOOK_EVERY_MS, stop.signal);
      }
    });
    return 0;
  } finally {
    draw.done();
    session.cursorHidden = false;
    done();
  }
}

type Lines = (look: Parameters<typeof topLines>[2]) => string[];

async function look(client: ServiceClient): Promise<Lines> {
  const [{ load }, jobs] = await Promise.all([client.service(), client.list()]);
  return (how) => topLines(jobs, load, how);
}

function away(thrown: unknown): Lines {
  return () => [`the service is away: ${TransferError.from(thrown).message}`];
}
