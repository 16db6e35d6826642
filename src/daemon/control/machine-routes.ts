/** The machines of this host as the API tells them, and where they can be moved to. For administrators alone. */
import type { VmStatus } from '../../migrate/vm.js';
import type { ControlApp } from './app.js';
import { assertMay } from './migration-routes.js';
import { listOf, record, shown, string } from './schema.js';

/** What of this host the routes need. */
export interface MachineHost {
  list(): Promise<readonly VmStatus[]>;
  /** Names of other hosts. */
  peers(): readonly string[];
}

const machine = shown<VmStatus>('A machine: its description, who may start it, and whether it runs.');

export function addMachineRoutes(app: ControlApp, host: MachineHost): void {
  app.get(
    '/v1/machines',
    {
      schema: {
        ...{ operationId: 'listMachines', summary: 'The machines of this host, and where they can be moved to' },
        response: { 200: record({ machines: listOf(machine), hosts: listOf(string()) }) },
      },
    },
    async ({ caller }) => {
      assertMay(caller);
      const machines = [...(await host.list())].sort((one, other) => one.vm.name.localeCompare(other.vm.name));
      return { machines, hosts: ['local', ...host.peers()] };
    },
  );
}
