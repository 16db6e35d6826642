/** What runs the commands of machines and of their migrations: each is loaded when it is called. */
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
