/** What runs the commands of machines and of their migrations: each is loaded when it is called. */
import type { MigrateCommands } from './migrate-program.js';
import type { Session } from './session.js';
import type { VmCommands } from './vm-program.js';

type Ended = (exitCode: number) => void;

export function vmCommands(session: Session, ended: Ended): VmCommands {
  const vm = () => import('./commands/vm.js');
  const portable = () => import('./commands/vm-export.js');
  return {
    add: async (file, flags) => ended(await (await vm()).runVmAdd(session, file, flags)),
    list: async (flags) => ended(await (await vm()).runVmList(session, flags)),
    info: async (id, flags) => ended(await (await vm()).runVmInfo(session, id, flags)),
    start: async (id, flags) => ended(await (await vm()).runVmStart(session, id, flags)),
    stop: async (id, flags) => ended(await (await vm()).runVmStop(session, id, flags)),
    remove: async (id, flags) => ended(await (await vm()).runVmRemove(session, id, flags)),
    export: async (id, folder, flags) => ended(await (await portable()).runVmExport(session, id, folder, flags)),
    import: async (folder, flags) => ended(await (await portable()).runVmImport(session, folder, flags)),
  };
}

export function migrateCommands(session: Session, ended: Ended): MigrateCommands {
  const migrate = () => import('./commands/migrate.js');
  return {
    plan: async (vm, flags) => ended(await (await migrate()).runMigratePlan(session, vm, flags)),
    start: async (vm, flags) => ended(await (await migrate()).runMigrateStart(session, vm, flags)),
    cutover: async (id, flags) => ended(await (await migrate()).runMigrateCutover(session, id, flags)),
    abort: async (id, flags) => ended(await (await migrate()).runMigrateAbort(session, id, flags)),
    status: async (id, flags) => ended(await (await migrate()).runMigrateStatus(session, id, flags)),
    watch: async (id, flags) => {
      const { runMigrateWatch } = await import('./commands/migrate-watch.js');
      ended(await runMigrateWatch(session, id, flags));
    },
    receipt: async (id, flags) => ended(await (await migrate()).runMigrateReceipt(session, id, flags)),
  };
}
