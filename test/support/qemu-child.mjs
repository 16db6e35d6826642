/**
 * A process that starts a machine and is then there until it is killed: what it started has to go on without it. State
 * folder and description come as JSON in its only argument.
 */
import { systemClock } from '../../dist/src/core/clock.js';
import { describeDisk } from '../../dist/src/index.js';
import { QemuHypervisor } from '../../dist/src/migrate/qemu/hypervisor.js';
import { VmRegistry } from '../../dist/src/migrate/vm-registry.js';

const { state, vm } = JSON.parse(process.argv[2]);
const registry = new VmRegistry(state);
await new QemuHypervisor({ registry, describeDisk, clock: systemClock }).start(vm);
process.stdout.write('started\n');
setInterval(() => undefined, 1000);
