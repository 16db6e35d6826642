/** `blockferry migrate`: migrations are planned, begun, looked at and moved on; who follows one is in migrate-watch. */
import { ERROR_KINDS, TransferError } from '../../core/errors.js';
import type { MigrationRequest, MigrationView } from '../../migrate/migration-service.js';
import { findVm, machines, targetPaths } from '../machine-access.js';
import type { CutoverFlags, MigrateFlags, MigrateStartFlags, MigrateStatusFlags } from '../migrate-program.js';
import { findMigration, OVER } from '../migration-access.js';
import { migrationLine, migrationLines, previewLines } from '../render/migration-text.js';
import { shortId, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';
import { targetHost } from '../target-host.js';
import { watchMigration } from './migrate-watch.js';

const WHOLE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export async function runMigratePlan({ out }: Session, vm: string, flags: MigrateFlags): Promise<number> {
  const request = await requestOf(vm, flags);
  const preview = await withService(flags, (client) => client.migrations.plan(request));
  if (flags.json) out.json({ schema: 1, type: 'plan', ...preview });
  else for (const line of previewLines(preview)) out.line(line);
  return preview.problems.length === 0 ? 0 : ERROR_KINDS.E_USAGE.exitCode;
}

export async function runMigrateStart(session: Session, vm: string, flags: MigrateStartFlags): Promise<number> {
  const { out, err } = session;
  const { prepare, watch, json, quiet } = flags;
  const request = { ...(await requestOf(vm, flags)), ...(prepare && { prepareOnly: true }) };
  return withService(flags, async (client) => {
    const view = await client.migrations.start(request);
    if (json && !watch) out.json(migrationObject(view));
    else if (!json) out.line(view.id);
    if (watch) return watchMigration(session, client, view.id, flags);
    if (!json && !quiet) {
      err.line(migrationLine(view));
      err.line(`  Follow it with: blockferry migrate watch ${shortId(view.id)}`);
    }
    return 0;
  });
}

/** A name is looked up among the machines of this host; a service elsewhere is told the id. */
async function requestOf(given: string, flags: MigrateFlags): Promise<MigrationRequest> {
  const { toHost, keepSource, maxBlackout } = flags;
  const host = toHost === undefined ? undefined : targetHost(toHost, flags);
  const paths = host?.paths ?? targetPaths(flags);
  if (!paths || (paths.folder === undefined && paths.disks === undefined)) {
    throw new TransferError('E_USAGE', 'nothing says where the files go', {
      hint: 'Say --to <folder>, or --disk <id>=<folder> for each disk. Nothing was changed.',
    });
  }
  const vm = WHOLE_ID.test(given) ? given.toLowerCase() : (await findVm(await machines(flags), given)).vm.id;
  return {
    ...{ vm, paths },
    ...(host && { to: host.name }),
    ...(keepSource && { keepSource }),
    ...(maxBlackout !== undefined && { maxBlackoutMs: maxBlackout }),
  };
}

function migrationObject(view: MigrationView): object {
  return { schema: 1, type: 'migration', ...view };
}

export async function runMigrateCutover(session: Session, given: string, flags: CutoverFlags): Promise<number> {
  const { maxBlackout, anyway } = flags;
  const options = { ...(maxBlackout !== undefined && { maxBlackoutMs: maxBlackout }), ...(anyway && { anyway }) };
  const view = await withService(flags, async (client) => {
    return client.migrations.cutover((await findMigration(client, given)).id, options);
  });
  return tell(session, view, flags);
}

export async function runMigrateAbort(session: Session, given: string, flags: ServiceFlags): Promise<number> {
  const view = await withService(flags, async (client) => {
    return client.migrations.abort((await findMigration(client, given)).id);
  });
  return tell(session, view, flags);
}

function tell({ out }: Session, view: MigrationView, { json }: ServiceFlags): number {
  if (json) out.json(migrationObject(view));
  else out.line(migrationLine(view));
  return 0;
}

export async function runMigrateStatus(
  { out, err }: Session,
  given: string | undefined,
  flags: MigrateStatusFlags,
): Promise<number> {
  if (given !== undefined) {
    const view = await withService(flags, (client) => findMigration(client, given));
    if (flags.json) out.json(migrationObject(view));
    else for (const line of migrationLines(view)) out.line(line);
    return 0;
  }
  const all = await withService(flags, (client) => client.migrations.list());
  const shown = flags.all ? all : all.filter(({ state }) => !OVER.includes(state));
  if (flags.json) for (const view of shown) out.json(migrationObject(view));
  else if (shown.length === 0) err.line('no machine is being moved; --all lists what is over too');
  else for (const view of shown) out.line(migrationLine(view));
  return 0;
}

export async function runMigrateReceipt({ out }: Session, given: string, flags: ServiceFlags): Promise<number> {
  const receipt = await withService(flags, async (client) => {
    return client.migrations.receipt((await findMigration(client, given)).id);
  });
  if (flags.json) out.json(receipt);
  else out.painted(JSON.stringify(receipt, undefined, 2));
  return 0;
}
