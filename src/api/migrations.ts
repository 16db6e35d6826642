/** `openMigrations()`: moves of running machines, in this process, beside its queue of jobs. */
import { resolve } from 'node:path';
import { createRunner } from '../compose.js';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { stateFolder } from '../endpoint/state-folder.js';
import type { MigrationService } from '../migrate/migration-service.js';
import type { JobService } from '../service/job-service.js';

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
  const [{ Migrations }, { LocalFiles }, { QemuHost }] = await Promise.all([
    import('../migrate/migrations.js'),
    import('../migrate/local-files.js'),
    import('../migrate/qemu-host.js'),
  ]);
  const parts = { newRunner: () => createRunner(), clock: systemClock, random: Math.random };
  const files = new LocalFiles(parts);
  const qemu = new QemuHost({ ...parts, stateFolder: resolve(state) });
  const local = { name: 'local', host: qemu.vms, hypervisor: qemu.hypervisor, files };
  const migrations = await Migrations.open({
    ...{ state: resolve(state), jobs, clock: systemClock, note },
    end: (name) => {
      if (name === local.name) return local;
      throw new TransferError('E_USAGE', `there is no host ${JSON.stringify(name)} that machines could be moved to`, {
        hint: 'Leave the host out: then the machine stays on this one, and its files move.',
      });
    },
  });
  return Object.assign(migrations, { close: closing(migrations, files, qemu) });
}

function closing(migrations: MigrationService, ...parts: { close(): Promise<void> }[]): () => Promise<void> {
  const close = migrations.close.bind(migrations);
  return async () => {
    await close();
    for (const part of parts) await part.close();
  };
}
