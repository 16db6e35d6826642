/**
 * Starts the QEMU of a machine. Until all is as it should be its guest does not run, so that a start that fails, or
 * that is cut short and found by the next one, is ended and forgotten.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { SavedState } from '../hypervisor.js';
import type { VmDescription } from '../vm.js';
import type { VmRegistry } from '../vm-registry.js';
import { argumentsOf } from './argv.js';
import { assertImages, assertSizes, type DescribeDisk, fixedBytesOf } from './image-check.js';
import type { Machine } from './machine.js';
import { assertUnderstood, topImages } from './nodes.js';
import { bootId, endedAtOnce, isAlive, type QemuProcess, startProcess } from './process.js';
import type { Qmp } from './qmp.js';
import { compareState, openState } from './saved-state.js';
import { CONTROL_SOCKET } from './sockets.js';

/** As the new process numbers what it inherits. */
const STATE_DESCRIPTOR = 3;
const LOADING_LOOK_MS = 20;

export interface StartParts {
  readonly registry: VmRegistry;
  readonly describeDisk: DescribeDisk;
  readonly clock: Clock;
}

/** @throws TransferError; then there is no process, and nothing was written to an image */
export async function startMachine(
  machine: Machine,
  vm: VmDescription,
  from: SavedState | undefined,
  parts: StartParts,
): Promise<void> {
  assertUnderstood(vm);
  const file = from && (await openState(from.path));
  try {
    // Without a state nobody waits for the guest yet; with one these looks go on beside the start.
    const checked = Promise.all([
      assertImages(vm, parts.describeDisk),
      file && from ? compareState(file, from) : undefined,
    ]);
    checked.catch(() => undefined);
    if (!from) await checked;
    parts.registry.setRuntime(vm.id, { phase: 'starting', bootId: bootId() });
    await begin(machine, vm, file, checked);
  } catch (thrown) {
    await machine.end(CONTROL_SOCKET);
    throw thrown;
  } finally {
    await file?.close();
  }
}

async function begin(
  machine: Machine,
  vm: VmDescription,
  file: FileHandle | undefined,
  checked: Promise<unknown>,
): Promise<void> {
  const args = argumentsOf(vm, { fixedBytes: await fixedBytesOf(vm), incoming: file !== undefined });
  const process_ = await startProcess(args, machine.folder, file ? [file.fd] : []);
  machine.note({ process: process_ });
  await machine.askNew(process_, CONTROL_SOCKET, async (qmp) => {
    assertSizes(vm, await topImages(qmp));
    await checked;
    if (file) await load(qmp, process_, machine);
    machine.note({ phase: 'up' });
    if (!file) await qmp.execute('cont');
  });
}

async function load(qmp: Qmp, process_: QemuProcess, machine: Machine): Promise<void> {
  try {
    await qmp.execute('migrate-incoming', { uri: `fd:${STATE_DESCRIPTOR}` });
    for (;;) {
      const { status } = await qmp.execute<{ status: string }>('query-status');
      if (status !== 'inmigrate') return;
      await qmp.eventOr(LOADING_LOOK_MS);
    }
  } catch (thrown) {
    // It ends by itself when a state does not fit the machine, and says why in its log.
    if (isAlive(process_) || !(thrown instanceof TransferError)) throw thrown;
    throw endedAtOnce(machine.folder);
  }
}
