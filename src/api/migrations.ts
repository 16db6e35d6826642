/** `openMigrations()`: moves of running machines, in this process, beside its queue of jobs. */
import { resolve } from 'node:path';
import { askPeer } from '../compose.js';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { stateFolder } from '../endpoint/state-folder.js';
import type { MigrationEnd } from '../migrate/migration-end.js';
import type { MigrationService } from '../migrate/migration-service.js';
import type { JobService } from '../service/job-service.js';
import { qemuHere } from './qemu-here.js';

/** As it is told in plans and receipts: with its port, and without anything that is secret. */
const PEER = /^peer:\/\/(\[[0-9a-f:.]+\]|[\w.-]+):\d{1,5}$/;

export interface MigrationsOptions {
  /** What copies the images; its state folder is that of the migrations. */
  readonly service: JobService;
  /** Default: as for `openService`. */
  readonly state?: string;
  /** Hears what concerns no single migration, as sentences. */
  readonly onNote?: (sentence: string) => void;
}

/**
 * Opens the migrations: those that were under way go on. Close them before the service.
 * @throws TransferError E_AUTH, E_STORE
 */
export async function openMigrations(options: MigrationsOptions): Promise<MigrationService> {
  const { service: jobs, state = stateFolder(), onNote: note = () => undefined } = options;
  const [{ Migrations }, { remoteEnd }, here] = await Promise.all([
    import('../migrate/migrations.js'),
    import('../migrate/remote-host.js'),
    qemuHere(resolve(state)),
  ]);
  const { qemu, files } = here;
  const local = { name: 'local', host: qemu.vms, hypervisor: qemu.hypervisor, files };
  const others = new Map<string, MigrationEnd>();
  const migrations = await Migrations.open({
    ...{ state: resolve(state), jobs, clock: systemClock, note },
    end: (name) => {
      if (name === local.name) return local;
      if (!PEER.test(name)) throw noHost(name);
      const end = others.get(name) ?? remoteEnd({ name, clock: systemClock, ask: askPeer(name) });
      others.set(name, end);
      return end;
    },
  });
  return Object.assign(migrations, { close: closing(migrations, here) });
}

function noHost(name: string): TransferError {
  return new TransferError('E_USAGE', `there is no host ${JSON.stringify(name)} that machines could be moved to`, {
    hint: 'Write peer://host:port, or leave it out: then the machine stays on this host, and its files move.',
  });
}

function closing(migrations: MigrationService, ...parts: { close(): Promise<void> }[]): () => Promise<void> {
  const close = migrations.close.bind(migrations);
  return async () => {
    await close();
    for (const part of parts) await part.close();
  };
}
