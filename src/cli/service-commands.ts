/** What runs the commands of the service: each is loaded when it is called. */
import type { JobCommands } from './job-program.js';
import type { PolicyCommands, UnitCommands } from './service-program.js';
import type { Session } from './session.js';

type Ended = (exitCode: number) => void;

export function jobCommands(session: Session, ended: Ended): JobCommands {
  const job = () => import('./commands/job.js');
  return {
    create: async (locations, flags) => ended(await (await job()).runJobCreate(session, locations, flags)),
    add: async (id, locations, flags) => ended(await (await job()).runJobAdd(session, id, locations, flags)),
    list: async (flags) => ended(await (await job()).runJobList(session, flags)),
    info: async (id, flags) => ended(await (await job()).runJobInfo(session, id, flags)),
    watch: async (id, flags) => {
      const { runJobWatch } = await import('./commands/job-watch.js');
      ended(await runJobWatch(session, id, flags));
    },
    top: async (flags) => ended(await (await import('./commands/top.js')).runTop(session, flags)),
    move: async (move, ids, flags) => ended(await (await job()).runJobMove(session, move, ids, flags)),
    set: async (id, flags) => ended(await (await job()).runJobSet(session, id, flags)),
    why: async (id, flags) => ended(await (await job()).runJobWhy(session, id, flags)),
    replacePrefix: async (id, from, to, flags) => {
      ended(await (await job()).runJobReplacePrefix(session, id, [from, to], flags));
    },
  };
}

export function policyCommands(session: Session, ended: Ended): PolicyCommands {
  const policy = () => import('./commands/policy.js');
  return {
    show: async (flags) => ended(await (await policy()).runPolicyShow(session, flags)),
    set: async (file, flags) => ended(await (await policy()).runPolicySet(session, file, flags)),
  };
}

export function unitCommands(session: Session, ended: Ended): UnitCommands {
  const service = () => import('./commands/service.js');
  return {
    install: async (flags) => ended(await (await service()).runServiceInstall(session, flags)),
    uninstall: async (flags) => ended(await (await service()).runServiceUninstall(session, flags)),
    status: async (flags) => ended(await (await service()).runServiceStatus(session, flags)),
  };
}
