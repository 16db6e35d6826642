/** The steps while the machine stands still at the source: everything here can be undone, and it runs on. */
import { TransferError } from '../core/errors.js';
import { copyFiles, damaged, type FileToCopy, type Flow, proveFile, timed, tookFor } from './flow.js';
import type { SavedMemory } from './hypervisor.js';
import { atTarget, stateFiles, stateIsCopied, targetOf, topOf } from './migration-plan.js';
import type { FileFact, StepFacts } from './step-records.js';
import type { VmRunState } from './vm.js';

export async function saveState(flow: Flow): Promise<StepFacts> {
  const { from, book, clock } = flow;
  const { source } = stateFiles(book.plan, book.attempt);
  const { value: state, ms } = await timed(clock, () => from.hypervisor.saveState(book.vm, source));
  return { state, versions: await topVersions(flow), took: { save: tookFor(state.bytes, ms) } };
}

/** Of what the guest writes to, by path. */
async function topVersions({ from, book }: Flow): Promise<Record<string, string>> {
  const paths = book.vm.disks.map((disk) => topOf(disk).path);
  const versions = paths.map(async (path) => [path, (await from.files.stat(path))?.version ?? 'missing'] as const);
  return Object.fromEntries(await Promise.all(versions));
}

/**
 * Its disks are those that its saved memory knows. Somebody may have started it without its memory since, or it ran on
 * just before all of it was killed: together with what it wrote then, that memory would damage its disks.
 */
export async function isAsSaved(flow: Flow): Promise<boolean> {
  const { versions = {} } = flow.book.facts('save-state') ?? {};
  const now = await topVersions(flow);
  return Object.entries(versions).every(([path, version]) => now[path] === version);
}

export async function copyDelta(flow: Flow): Promise<StepFacts> {
  const { book, from } = flow;
  await assertStandsStill(flow);
  const deltas = await Promise.all(
    book.vm.disks.map(async (disk): Promise<FileToCopy> => {
      const { path } = topOf(disk);
      const bytes = (await from.files.stat(path))?.bytes ?? 0;
      return { disk: disk.id, kind: 'delta', source: path, target: targetOf(book.plan, disk.id, path), bytes };
    }),
  );
  const { bytes } = savedState(flow);
  const memory: FileToCopy = { kind: 'state', ...stateFiles(book.plan, book.attempt), bytes };
  const wanted = stateIsCopied(book.plan) ? [...deltas, memory] : deltas;
  // Left of an attempt before, which ended at the source.
  const rules = { purpose: urgentJobs(flow), priority: 'foreground', overwrite: true, urgent: true } as const;
  const { value: files, ms } = await timed(flow.clock, () => copyFiles(flow, wanted, rules));
  return { files, took: { copy: tookFor(bytesOf(files), ms) } };
}

/** Jobs of this attempt. */
export function urgentJobs({ book }: Flow): string {
  return `blackout ${book.attempt}`;
}

/** Every file is whole: those of the blackout are read, the others are as they were when they were read. */
export async function prove(flow: Flow): Promise<StepFacts> {
  const { book } = flow;
  const fresh = new Set(book.facts('copy-delta')?.files?.map(({ target }) => target));
  for (const file of book.files.values()) {
    if (file.kind !== 'state' && !fresh.has(file.target)) await assertUntouched(flow, file);
  }
  const deltas = [...book.files.values()].filter(({ kind, target }) => kind === 'delta' && fresh.has(target));
  const { value: files, ms } = await timed(flow.clock, () =>
    Promise.all([
      ...deltas.map((file) => proveFile(flow, file, false)),
      ...(book.plan.running ? [proveState(flow)] : []),
    ]),
  );
  return { files, took: { prove: tookFor(bytesOf(files), ms) } };
}

/** The one file that has no disk format to tell of damage: a hypervisor loads it, whatever it holds. */
async function proveState(flow: Flow): Promise<FileFact> {
  const { book, to, signal } = flow;
  const { path: _, ...saved } = savedState(flow);
  const file = { kind: 'state', ...stateFiles(book.plan, book.attempt) } as const;
  const { bytes, root } = await to.files.digest(file.target, false, signal);
  if (bytes !== saved.bytes) throw damaged(file, `has ${bytes} bytes, and ${saved.bytes} were saved`);
  if (root !== saved.root) throw damaged(file, 'is not the memory that was saved');
  return { ...file, ...saved };
}

/** Proven before, in the background: only a change since then would make it wrong. */
async function assertUntouched({ to, book }: Flow, file: FileFact): Promise<void> {
  const stat = await to.files.stat(file.target);
  if (!stat) throw damaged(file, 'is gone since it was proven');
  // An attempt before this one may have made it name its parent.
  if (book.wasEverStarted('re-point') && stat.bytes >= file.bytes) return;
  if (stat.version !== file.version) throw damaged(file, 'was changed since it was proven');
}

/** From the base up, since each is looked at together with those below it. */
export async function rePoint({ to, book }: Flow): Promise<StepFacts> {
  const { disks } = atTarget(book.plan, book.vm);
  for (const { chain } of disks) {
    for (const [at, { path }] of chain.entries()) {
      const parent = chain[at - 1];
      if (parent) await to.files.repoint(path, parent.path);
    }
  }
  return {};
}

export function savedState({ book }: Flow): SavedMemory {
  if (book.saved) return book.saved;
  throw new TransferError('E_BUG', `no saved state of ${book.plan.vm.name} is on record`);
}

/** The guest's host may be gone, and with it the process: what it had is in the files, as long as it did not run on. */
const STILL: readonly VmRunState[] = ['saved', 'off', 'lost'];

/** @throws TransferError E_VM_STATE when it runs again, so that what was saved is not what it is any more */
export async function assertStandsStill(flow: Flow): Promise<void> {
  const { from, book } = flow;
  const state = await from.hypervisor.state(book.vm);
  const isStill = STILL.includes(state);
  if (isStill && (state === 'saved' || (await isAsSaved(flow)))) return;
  const since = isStill ? 'its disks were written to since its memory was saved' : 'it stood still for its migration';
  throw new TransferError('E_VM_STATE', `${book.vm.name} is ${state}, and ${since}`, {
    hint: 'Somebody let it run on. It stays at the source; start the cutover again.',
  });
}

function bytesOf(files: readonly FileFact[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}
