/**
 * A process that starts a machine and is then there until it is killed: what it started has to go on without it. State
 * folder and description come as JSON in its only argument.
 */
import { createRunner } from '../../dist/src/compose.js';
import { systemClock } from '../../dist/src/core/clock.js';
import { QemuHost } from '../../dist/src/migrate/qemu-host.js';

const { state, vm } = JSON.parse(process.argv[2]);
const parts = { stateFolder: state, newRunner: createRunner, clock: systemClock, random: Math.random };
await new QemuHost(parts).hypervisor.start(vm);
process.stdout.write('started\n');
setInterval(() => undefined, 1000);
