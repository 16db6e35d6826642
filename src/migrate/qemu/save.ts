/** Saves the memory of a guest into a file, and leaves the guest standing still. A save that fails lets it go on. */

import type { SavedMemory, SavedState } from '../hypervisor.js';
import type { VmDescription } from '../vm.js';
import type { Machine } from './machine.js';
import { hookAgain, unhook } from './nodes.js';
import { type Qmp, refused } from './qmp.js';
import { assertFree, dropState, receiveState, statOf } from './saved-state.js';
import { STATE_SOCKET } from './sockets.js';

/** A bound that no storage reaches: QEMU's own would be 128 MiB/s. */
const BANDWIDTH_BYTES_PER_SECOND = 2 ** 40;
/** It tells by an event when it is done; this is for one that was missed. */
const LOOK_MS = 100;

/** @throws TransferError E_NO_SPACE and others; the guest goes on then, if it did before */
export async function save(qmp: Qmp, machine: Machine, vm: VmDescription, path: string): Promise<SavedMemory> {
  const { saved, savingTo } = machine.runtime ?? {};
  const before = await statusOf(qmp);
  if (before === 'postmigrate' && saved?.path === path && (await isThere(saved))) return saved;
  const ours = savingTo === path;
  await assertFree(path, ours);
  machine.note({ savingTo: path });
  try {
    if (before === 'postmigrate') {
      // QEMU saves a state once; for another one the guest has to have run, be it for no time at all.
      await hookAgain(qmp, vm);
      await qmp.execute('cont');
      machine.forget('saved');
    }
    await qmp.execute('stop');
    await unhook(qmp, vm);
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH_BYTES_PER_SECOND });
    const capabilities = [{ capability: 'events', state: true }];
    await qmp.execute('migrate-set-capabilities', { capabilities });
    const state = await receiveState(path, machine.folder, ours, () => send(qmp));
    machine.note({ saved: state });
    return state;
  } catch (thrown) {
    if (qmp.isOpen) {
      await hookAgain(qmp, vm);
      if (before !== 'paused') await qmp.execute('cont');
    }
    // Where that fails, what kept it from being saved says more.
    await dropState(path).catch(() => undefined);
    machine.forget('saved', 'savingTo');
    throw thrown;
  }
}

async function send(qmp: Qmp): Promise<void> {
  await qmp.execute('migrate', { uri: `unix:${STATE_SOCKET}` });
  for (;;) {
    const { status, 'error-desc': error = 'no reason' } = await qmp.execute<{ status?: string; 'error-desc'?: string }>(
      'query-migrate',
    );
    if (status === 'failed' || status === 'cancelled') throw refused('to save the state', error);
    // Once it is completed it takes a moment more until it says so everywhere.
    if (status === 'completed' && (await statusOf(qmp)) === 'postmigrate') return;
    await qmp.eventOr(LOOK_MS);
  }
}

async function statusOf(qmp: Qmp): Promise<string> {
  return (await qmp.execute<{ status: string }>('query-status')).status;
}

async function isThere({ path, bytes }: SavedState): Promise<boolean> {
  return (await statOf(path))?.size === bytes;
}
