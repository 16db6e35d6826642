/** The way back: out of the blackout, and out of the whole migration, as long as the source has not given it away. */
import { TransferError } from '../core/errors.js';
import { isAsSaved, urgentJobs } from './blackout-steps.js';
import { intoWhat } from './final-steps.js';
import { type Flow, isPlaced } from './flow.js';
import type { SavedMemory } from './hypervisor.js';
import type { MigrationBook } from './migration-book.js';
import type { MigrationEnd } from './migration-end.js';
import { bootFiles, overlaysOf, stateFiles, targetOf } from './migration-plan.js';

/** The source has given it away, by this migration: asked of the source, since the journal may be behind. */
export async function isGiven(book: MigrationBook, from: MigrationEnd): Promise<boolean> {
  if (book.isDone('switch-over')) return true;
  const ownership = await from.host.ownership(book.plan.vm.id);
  return ownership.state === 'gone' && ownership.migration === book.plan.id;
}

/** @throws TransferError E_MIGRATION_STATE */
export async function assertNotGiven(book: MigrationBook, from: MigrationEnd): Promise<void> {
  if (!(await isGiven(book, from))) return;
  const { vm, to } = book.plan;
  throw new TransferError('E_MIGRATION_STATE', `${vm.name} belongs to ${to} already, and there is no way back`, {
    hint: 'Let the migration finish; then migrate the machine back, if you want it there.',
  });
}

/** The guest runs on at the source, from its memory. What was saved of it is worth nothing after that. */
export async function undoBlackout(flow: Flow): Promise<void> {
  const { book, from, to, jobs } = flow;
  await assertNotGiven(book, from);
  await runOn(flow);
  await jobs.cancel(urgentJobs(flow));
  const { source, target } = stateFiles(book.plan, book.attempt);
  // A storage may be out of reach just now. The next attempt has another file, and all of them go in the end.
  await removeIfPossible(flow, from, source);
  if (from.name === to.name) await removeIfPossible(flow, to, target);
  book.undone();
}

async function removeIfPossible({ note }: Flow, { files }: MigrationEnd, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (thrown) {
    note(`${TransferError.from(thrown).message}; it is removed when the migration ends`);
  }
}

async function runOn(flow: Flow): Promise<void> {
  const { book, from, note } = flow;
  const { hypervisor } = from;
  const { vm } = book;
  const saved = await memoryOf(flow);
  const state = await hypervisor.state(vm);
  if (state === 'saved') return hypervisor.discardState(vm);
  if (state === 'paused') return hypervisor.resume(vm);
  if (state === 'off' && !saved) return note(`${vm.name} was switched off, and stays off`);
  if (state !== 'lost' && state !== 'off') return;
  // Its process ended while it stood still.
  await hypervisor.stop(vm);
  if (saved && (await startFrom(flow, saved))) return hypervisor.resume(vm);
  await hypervisor.start(vm);
  note(`the process of ${vm.name} was killed, and its memory cannot be had: to its guest this is a power cut`);
}

/** What was saved of it, is there still, and fits its disks. */
async function memoryOf(flow: Flow): Promise<SavedMemory | undefined> {
  const { saved } = flow.book;
  if (!saved || !(await isAsSaved(flow))) return undefined;
  return (await flow.from.files.stat(saved.path)) ? saved : undefined;
}

/** False: what is there is not what was saved. There is no other, and the machine shall not stand still for ever. */
async function startFrom({ book, from, note }: Flow, saved: SavedMemory): Promise<boolean> {
  try {
    await from.hypervisor.start(book.vm, saved);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_INTEGRITY') throw thrown;
    note(thrown.message);
    return false;
  }
}

/** Nothing is left at the target, and the guest writes to its own images again. Repeatable. */
export async function undoAll(flow: Flow): Promise<string[]> {
  const { book, from, to, jobs } = flow;
  const { plan } = book;
  await assertNotGiven(book, from);
  await jobs.cancel();
  if (plan.running && book.isStarted('save-state')) await undoBlackout(flow);
  const notes = plan.running && book.isStarted('snapshot') ? await mergeBack(flow) : [];
  for (let attempt = 1; attempt <= book.attempt; attempt++) await from.files.remove(stateFiles(plan, attempt).source);
  for (const path of made(flow)) await to.files.remove(path);
  if (book.isStarted('placeholder')) await to.host.removePlaceholder(plan.vm.id, plan.id);
  return notes;
}

/** Where that cannot be, the overlays stay, and stay part of the machine: nothing is lost. */
async function mergeBack(flow: Flow): Promise<string[]> {
  const { from, book, signal } = flow;
  const { plan } = book;
  const { vm, state } = await from.host.get(plan.vm.id);
  const kept = 'what was written since stays in its overlays, which belong to its disks from now on';
  if (state !== 'running') return [`${vm.name} is ${state}: ${kept}`];
  const progress = ({ bytesDone, bytesTotal }: { bytesDone: number; bytesTotal: number }): void =>
    flow.progress(bytesDone, bytesTotal);
  try {
    await from.hypervisor.merge(vm, intoWhat(plan.vm, plan.images, 'source'), progress, signal);
    return [];
  } catch (thrown) {
    const error = TransferError.from(thrown);
    if (error.code === 'E_STOPPED') throw error;
    return [`the overlays of ${vm.name} could not be merged (${error.message}): ${kept}`];
  }
}

/** Files at the target that are ours: of the images those that we put there, since others may have come before us. */
function made(flow: Flow): string[] {
  const { book } = flow;
  const { plan } = book;
  const rounds = Array.from({ length: book.rounds }, (_, at) => overlaysOf(plan, at + 1)).flat();
  const overlays = rounds.map(({ disk, path }) => targetOf(plan, disk, path));
  const states = Array.from({ length: book.attempt }, (_, at) => stateFiles(plan, at + 1).target);
  const images = plan.images.filter((image) => book.files.has(image.target) || isPlaced(flow, image, 'base'));
  const boot = book.isStarted('copy-bases') ? bootFiles(plan) : [];
  return [...states, ...overlays, ...[...images, ...boot].map(({ target }) => target)];
}
