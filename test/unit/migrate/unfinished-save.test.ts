import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { Machine } from '../../../src/migrate/qemu/machine.js';
import { CONTROL_SOCKET } from '../../../src/migrate/qemu/sockets.js';
import { VmRegistry } from '../../../src/migrate/vm-registry.js';
import { scratchFolder } from '../../support/copying.js';
import { sampleVm } from '../../support/sample-vm.js';

test('of a memory that was being saved when all was killed, nothing is left once the machine is put away', async () => {
  const folder = scratchFolder();
  const [registry, vm] = [new VmRegistry(folder), sampleVm()];
  registry.add(vm, { state: 'here' });
  const savingTo = join(folder, 'memory.state');
  registry.setRuntime(vm.id, { phase: 'up', bootId: 'of another start of this host', savingTo });
  writeFileSync(`${savingTo}.saving`, 'half of a memory');
  // What was saved as a whole is not ours to remove here: its migration may need it.
  writeFileSync(savingTo, 'a whole memory');
  const machine = new Machine(vm.id, registry, systemClock);
  await machine.end(CONTROL_SOCKET);
  expect(existsSync(`${savingTo}.saving`)).toBe(false);
  expect(existsSync(savingTo)).toBe(true);
  expect(machine.runtime).toBeUndefined();
});
