/** From the switch-over on there is no way back: each step is tried until it is done. */
import { TransferError } from '../core/errors.js';
import { assertStandsStill, rePoint, savedState } from './blackout-steps.js';
import { type CopyRules, copyFiles, copyProven, type FileToCopy, type Flow, timed, tookFor } from './flow.js';
import { atTarget, overlaysOf, stateFiles, stateIsCopied, topOf } from './migration-plan.js';
import type { FileFact, StepFacts } from './step-records.js';
import type { VmDescription } from './vm.js';

/** The source gives it away, and only then ends its process. */
export async function switchOver(flow: Flow): Promise<StepFacts> {
  const { from, to, book } = flow;
  const { plan } = book;
  if (plan.running) await assertStandsStill(flow);
  // To a host that cannot be reached, or that does not wait for it any more, nothing is given.
  if (from.name !== to.name) await to.host.placeholder(atTarget(plan, book.vm), plan.id);
  await from.host.give(plan.vm.id, plan.id, to.name);
  await from.hypervisor.stop(book.vm);
  if (plan.running) return {};
  const files = await copyAgain(flow);
  // What is copied anew names its parent at the source.
  if (files.length > 0) await rePoint(flow);
  return { files };
}

/** It was off, and might have been on for a moment while it was copied. Now it cannot be started here any more. */
async function copyAgain(flow: Flow): Promise<FileFact[]> {
  const { from, book } = flow;
  const versions = book.startFacts('copy-bases')?.versions ?? {};
  const changed: FileToCopy[] = [];
  for (const file of book.files.values()) {
    const stat = await from.files.stat(file.source);
    if (!stat) throw new TransferError('E_SOURCE_MISSING', `${file.source} is gone`, { hint: 'Put it back.' });
    const { disk, kind, source, target } = file;
    const about = { ...(disk !== undefined && { disk }), kind, source, target };
    if (stat.version !== versions[source]) changed.push({ ...about, bytes: stat.bytes });
  }
  if (changed.length === 0) return [];
  flow.note(`${book.vm.name} was on while it was copied: ${changed.length} images are copied again`);
  return copyProven(flow, changed, await rulesForAgain(flow));
}

/** What an earlier try has copied may be what is wrong, so each begins anew. */
async function rulesForAgain({ jobs, clock }: Flow): Promise<CopyRules> {
  await jobs.cancel('again');
  return { purpose: `again ${clock.wallMs()}`, priority: 'foreground', overwrite: true, urgent: false };
}

/**
 * What was proven may have been changed since. Where the source has it still, it is copied again, once; where there is
 * no other copy it is read again, and then the machine starts without its memory, since it cannot go back and shall not
 * stand still for ever.
 */
export async function start(flow: Flow): Promise<StepFacts> {
  const { to, book, clock } = flow;
  const { plan, vm } = book;
  if (book.withoutMemory !== undefined) return startWithout(flow, book.withoutMemory);
  const { bytes, sha256 } = savedState(flow);
  const files = stateFiles(plan, book.attempt);
  const from = { path: files.target, bytes, sha256 };
  const begin = () => timed(clock, () => to.host.startPlaceholder(atTarget(plan, vm), plan.id, from));
  const first = await begin().catch((thrown) => spoilt(flow, thrown));
  if ('ms' in first) return { took: { load: tookFor(bytes, first.ms) } };
  if (stateIsCopied(plan)) {
    flow.note(`${first.message}; it is copied again, and was not started`);
    await copyFiles(flow, [{ kind: 'state', ...files, bytes }], await rulesForAgain(flow));
    await begin();
    return {};
  }
  const second = await begin().catch((thrown) => spoilt(flow, thrown));
  return 'ms' in second ? {} : startWithout(flow, second.message);
}

/** What there is of its memory is not what was saved, or is gone from where its disks are. @throws anything else */
async function spoilt({ to, book }: Flow, thrown: unknown): Promise<TransferError> {
  if (!(thrown instanceof TransferError)) throw thrown;
  if (thrown.code === 'E_INTEGRITY') return thrown;
  if (thrown.code !== 'E_SOURCE_MISSING') throw thrown;
  const [disk] = atTarget(book.plan, book.vm).disks;
  const [state, image] = [stateFiles(book.plan, book.attempt).target, disk && topOf(disk).path];
  // A storage that is not there at all comes back.
  if (image === undefined || !(await to.files.stat(image)) || (await to.files.stat(state))) throw thrown;
  return thrown;
}

/** On record first: on disks that it has written to without it, that memory must never be loaded. */
async function startWithout({ to, book, note }: Flow, withoutMemory: string): Promise<StepFacts> {
  const { plan, vm } = book;
  book.start('start', { facts: { withoutMemory } });
  note(`${withoutMemory}; ${vm.name} starts without its memory: to its guest this is a power cut`);
  await to.host.startPlaceholder(atTarget(plan, vm), plan.id);
  return {};
}

export async function resume(flow: Flow): Promise<StepFacts> {
  const { to, book } = flow;
  const { plan, vm } = book;
  if (!plan.running) await to.host.placeholder(atTarget(plan, vm), plan.id);
  else if (await hasEnded(flow)) await start(flow);
  await to.host.take(plan.vm.id, plan.id);
  return {};
}

/** Its process ended after it was loaded and before it ran: nothing is lost, and it is loaded again. */
async function hasEnded({ to, book: { plan } }: Flow): Promise<boolean> {
  const { ownership, state } = await to.host.get(plan.vm.id);
  return ownership.state !== 'here' && (state === 'lost' || state === 'off');
}

/** The overlays go into what they lie on. What they held is on record by then. */
export async function merge(flow: Flow): Promise<StepFacts> {
  const { to, book, signal } = flow;
  const { plan } = book;
  const files = await wholeDigests(flow);
  const running = atTarget(plan, book.vm);
  const done = new Map<string, { bytesDone: number; bytesTotal: number }>();
  const vm = await to.hypervisor.merge(
    running,
    intoWhat(plan.vm, plan.images, 'target'),
    ({ disk, bytesDone, bytesTotal }) => {
      done.set(disk, { bytesDone, bytesTotal });
      const all = [...done.values()];
      const sum = (of: 'bytesDone' | 'bytesTotal'): number => all.reduce((bytes, one) => bytes + one[of], 0);
      flow.progress(sum('bytesDone'), sum('bytesTotal'));
    },
    signal,
  );
  return { vm, files };
}

/** For each disk the image that the guest wrote to before the first snapshot. */
export function intoWhat(
  { disks }: VmDescription,
  images: readonly { readonly disk: string; readonly source: string; readonly target: string }[],
  end: 'source' | 'target',
): { disk: string; into: string }[] {
  return disks.map(({ id }) => {
    const top = images.findLast(({ disk }) => disk === id);
    if (!top) throw new TransferError('E_BUG', `the disk ${id} has no image`);
    return { disk: id, into: top[end] };
  });
}

/** Of what was copied in the blackout, from the source, which nobody writes to any more. */
async function wholeDigests(flow: Flow): Promise<FileFact[]> {
  const { from, book, signal } = flow;
  const open = [...book.files.values()].filter(({ sha256, kind }) => sha256 === undefined && kind === 'delta');
  return Promise.all(
    open.map(async (file) => {
      const { sha256, root } = await from.files.digest(file.source, true, signal);
      if (root === file.root && sha256 !== undefined) return { ...file, sha256 };
      throw new TransferError('E_SOURCE_CHANGED', `${file.source} was changed after it was given away`, {
        hint: 'The machine runs at the target, from what was proven. Find out who writes to the source.',
      });
    }),
  );
}

/** What is not needed any more. The source's own images go unless they are to be kept. */
export async function release(flow: Flow): Promise<StepFacts> {
  const { from, to, book } = flow;
  const { plan, rounds } = book;
  for (let attempt = 1; attempt <= book.attempt; attempt++) {
    const { source, target } = stateFiles(plan, attempt);
    await to.files.remove(target);
    if (!plan.keepSource) await from.files.remove(source);
  }
  if (plan.keepSource) return {};
  // On one host a path of the source might be one of the target: that one is in use.
  const used = new Set(from.name === to.name ? atTarget(plan, plan.vm).disks.flatMap(pathsOf) : []);
  const overlays = Array.from({ length: rounds }, (_, at) => overlaysOf(plan, at + 1)).flat();
  const ours = [...overlays.map(({ path }) => path).reverse(), ...plan.images.map(({ source }) => source).reverse()];
  const others = await imagesOfOthers(flow);
  for (const path of ours) {
    const other = others.get(path);
    if (other !== undefined) flow.note(`${path} stays: ${other} lies on it, too`);
    else if (!used.has(path)) await from.files.remove(path);
  }
  return {};
}

/** By their paths at the source, the names of other machines there: several may lie on one base. */
async function imagesOfOthers({ from, book }: Flow): Promise<ReadonlyMap<string, string>> {
  const others = await from.host.list();
  const there = others.filter(({ vm, ownership }) => vm.id !== book.plan.vm.id && ownership.state !== 'gone');
  return new Map(there.flatMap(({ vm }) => vm.disks.flatMap(pathsOf).map((path) => [path, vm.name] as const)));
}

function pathsOf({ chain }: VmDescription['disks'][number]): string[] {
  return chain.map(({ path }) => path);
}
