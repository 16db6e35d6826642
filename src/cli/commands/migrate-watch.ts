/** `blockferry migrate watch`: what happens, a line each, until nothing more happens by itself. */
import { systemClock } from '../../core/clock.js';
import { ERROR_KINDS, type ErrorCode, TransferError } from '../../core/errors.js';
import type { ServiceClient } from '../../daemon/client.js';
import type { MigrationState, MigrationView } from '../../migrate/migration-service.js';
import { EXIT_INTERRUPTED, onInterrupt } from '../follow.js';
import { findMigration } from '../migration-access.js';
import { migrationLines, stepLine } from '../render/migration-text.js';
import { shortId, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';

const LOOK_AGAIN_MS = 1000;
const AWAY: readonly ErrorCode[] = ['E_NO_SERVICE', 'E_NETWORK', 'E_TIMEOUT', 'E_UNAVAILABLE'];
/** Nothing more happens by itself. */
const SETTLED: readonly MigrationState[] = ['prepared', 'asking', 'failed', 'aborted', 'done'];

export function runMigrateWatch(session: Session, given: string, flags: ServiceFlags): Promise<number> {
  return withService(flags, async (client) => {
    return watchMigration(session, client, (await findMigration(client, given)).id, flags);
  });
}

export async function watchMigration(
  session: Session,
  client: ServiceClient,
  id: string,
  flags: ServiceFlags,
): Promise<number> {
  const stop = new AbortController();
  const done = onInterrupt(session, () => stop.abort());
  try {
    const view = await follow(session, client, id, { flags, stop: stop.signal });
    if (view) return tellEnd(session, view, flags);
    session.err.line('blockferry: not watched any more; the migration goes on');
    session.err.line(`  Watch it again with: blockferry migrate watch ${shortId(id)}`);
    return EXIT_INTERRUPTED;
  } finally {
    done();
  }
}

/** How it settled; undefined after an interrupt. */
async function follow(
  session: Session,
  client: ServiceClient,
  id: string,
  { flags, stop }: { readonly flags: ServiceFlags; readonly stop: AbortSignal },
): Promise<MigrationView | undefined> {
  let [last, away] = [0, false];
  const interrupted = new Promise<undefined>((resolve) => stop.addEventListener('abort', () => resolve(undefined)));
  while (!stop.aborted) {
    try {
      // Looked at first: what was told until then is heard, and comes before the end.
      const view = await client.migrations.get(id);
      const settled = SETTLED.includes(view.state);
      if (away) session.err.line('the service is there again');
      away = false;
      const events = await Promise.race([
        settled ? told(client, id, last) : client.migrations.events(id, last),
        interrupted,
      ]);
      for (const { id: number, event } of events ?? []) {
        last = Math.max(last, number);
        const line = stepLine(event);
        if (flags.json) session.out.json({ ...event, migration: id });
        else if (line !== undefined && !flags.quiet) session.err.line(line);
      }
      if (settled) return view;
    } catch (thrown) {
      if (!(thrown instanceof TransferError) || !AWAY.includes(thrown.code)) throw thrown;
      if (!away) session.err.line('the service is away; waiting for it');
      // Its numbers begin anew with it.
      [last, away] = [0, true];
      await systemClock.sleep(LOOK_AGAIN_MS, stop);
    }
  }
  return undefined;
}

/** Of one that is settled there may be nothing new, which is not waited for. */
async function told(client: ServiceClient, id: string, last: number) {
  const none = systemClock.sleep(LOOK_AGAIN_MS).then(() => []);
  return Promise.race([client.migrations.events(id, last), none]);
}

function tellEnd({ out }: Session, view: MigrationView, { json, quiet }: ServiceFlags): number {
  if (json) out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...view });
  else if (!quiet) for (const line of migrationLines(view)) out.line(line);
  if (view.state === 'failed' && view.error) throw TransferError.fromJSON(view.error);
  return view.state === 'aborted' ? ERROR_KINDS.E_STOPPED.exitCode : 0;
}
