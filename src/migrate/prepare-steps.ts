/** The steps before the blackout: the guest runs, and what is copied stands still below its overlays. */
import { dirname } from 'node:path';
import { TransferError } from '../core/errors.js';
import { copyProven, type FileToCopy, type Flow, timed, tookFor } from './flow.js';
import type { MigrationEnd } from './migration-end.js';
import {
  atTarget,
  bootFiles,
  type MigrationPlan,
  overlaysOf,
  stateIsCopied,
  targetOf,
  topOf,
} from './migration-plan.js';
import type { SizedImage } from './migration-service.js';
import { type Load, type Prediction, predict } from './predict.js';
import type { FileFact, StepFacts } from './step-records.js';
import type { VmStatus } from './vm.js';

/** Everything that would stop it later. @throws TransferError E_VM_STATE, E_TARGET_EXISTS, E_USAGE */
export async function check(flow: Flow): Promise<StepFacts> {
  const { from, to, book } = flow;
  const { plan } = book;
  assertMovable(await from.host.get(plan.vm.id), plan.running);
  const files = await toCopy(flow);
  for (const { target } of files) {
    if (!(await to.files.stat(target))) continue;
    throw new TransferError('E_TARGET_EXISTS', `${target} exists already`, {
      hint: 'Choose another folder, or move it away. Nothing was changed.',
    });
  }
  // Its memory goes there too, for a while.
  const memory = plan.running ? plan.vm.memoryBytes : 0;
  const bytes = files.reduce((sum, file) => sum + file.bytes, memory);
  for (const folder of foldersOf(plan)) await to.files.makeFolder(folder);
  const problems = await problemsOf(plan, from, to, bytes);
  if (problems.length === 0) return {};
  throw new TransferError('E_USAGE', `${plan.vm.name} cannot be migrated: ${problems.join('; ')}`, {
    hint: 'Nothing was changed.',
  });
}

/** What there is to be copied, as it is now. */
export function sizedImages({ images }: MigrationPlan, { files }: MigrationEnd): Promise<readonly SizedImage[]> {
  return Promise.all(
    images.map(async (image) => {
      const now = await files.stat(image.source);
      return now ? { ...image, bytes: now.bytes } : image;
    }),
  );
}

/** Sentences: what would be in the way. Of a machine that runs, what stands still is checked when it is copied. */
export async function problemsOf(
  plan: MigrationPlan,
  from: MigrationEnd,
  to: MigrationEnd,
  bytes: number,
): Promise<readonly string[]> {
  const here = plan.running ? [] : await from.host.check(plan.vm, [], 0);
  const there = atTarget(plan, plan.vm);
  // A host that is both would look for images where none are yet.
  const asked = plan.from === plan.to ? { ...there, disks: [] } : there;
  return [...here, ...(await to.host.check(asked, foldersOf(plan), bytes))];
}

function foldersOf({ images }: MigrationPlan): string[] {
  return [...new Set(images.map(({ target }) => dirname(target)))];
}

/** @throws TransferError E_VM_STATE */
export function assertMovable({ vm, ownership, state }: VmStatus, running: boolean): void {
  if (ownership.state === 'here' && state === (running ? 'running' : 'off')) return;
  const where = ownership.state === 'here' ? `is ${state}` : `does not belong here (${ownership.state})`;
  throw new TransferError('E_VM_STATE', `${vm.name} ${where}; ${running ? 'running' : 'off'} was expected`, {
    hint: 'A migration moves a machine that runs, or one that is off. Nothing was changed.',
  });
}

export async function placeholder({ to, book: { plan } }: Flow): Promise<StepFacts> {
  await to.host.placeholder(atTarget(plan, plan.vm), plan.id);
  return {};
}

export async function snapshot({ from, book }: Flow): Promise<StepFacts> {
  return { vm: await from.hypervisor.snapshot(book.vm, overlaysOf(book.plan, 1)) };
}

/** What the source's files are before they are copied: of a machine that is off nothing else tells that it was on. */
export async function versionsNow({ from, book: { plan } }: Flow): Promise<StepFacts> {
  const versions: Record<string, string> = {};
  for (const { source } of [...plan.images, ...bootFiles(plan)])
    versions[source] = (await from.files.stat(source))?.version ?? 'missing';
  return { versions };
}

export async function copyBases(flow: Flow): Promise<StepFacts> {
  const rules = { purpose: 'base', priority: 'low', overwrite: false, urgent: false, check: true } as const;
  const { value: files, ms } = await timed(flow.clock, async () => copyProven(flow, await toCopy(flow), rules));
  return { files, took: { copy: tookFor(sum(files), ms) } };
}

/** Another snapshot, and what it froze is copied. */
export async function shrinkRound(flow: Flow, round: number): Promise<StepFacts> {
  const { from, book } = flow;
  const frozen = overlaysOf(book.plan, round - 1);
  const vm = await from.hypervisor.snapshot(book.vm, overlaysOf(book.plan, round));
  const files = await Promise.all(
    frozen.map(async ({ disk, path }): Promise<FileToCopy> => {
      const bytes = (await existing(flow, path)).bytes;
      return { disk, kind: 'delta', source: path, target: targetOf(book.plan, disk, path), bytes };
    }),
  );
  // Nothing else has such a name: what is there was copied before a crash.
  const rules = { purpose: `round ${round}`, priority: 'high', overwrite: true, urgent: false } as const;
  const { value: proven, ms } = await timed(flow.clock, () => copyProven(flow, files, rules));
  return { vm, files: proven, took: { copy: tookFor(sum(proven), ms) } };
}

export async function predictNow(flow: Flow): Promise<Prediction> {
  return predict(await loadNow(flow), flow.rates());
}

async function loadNow({ from, book, clock }: Flow): Promise<Load> {
  const { rounds, vm } = book;
  let deltaBytes = 0;
  for (const disk of vm.disks) deltaBytes += (await from.files.stat(topOf(disk).path))?.bytes ?? 0;
  const since = rounds > 1 ? book.startedAt('shrink-delta', rounds) : book.startedAt('snapshot');
  const seconds = Math.max(0.001, (clock.wallMs() - (since ?? 0)) / 1000);
  const memoryBytes = await from.hypervisor.memoryInUse(vm);
  return {
    ...{ deltaBytes, memoryBytes, memoryIsCopied: stateIsCopied(book.plan) },
    deltaBytesPerSecond: Math.round(deltaBytes / seconds),
  };
}

async function toCopy(flow: Flow): Promise<FileToCopy[]> {
  const { plan } = flow.book;
  const images = plan.images.map(({ disk, source, target }) => ({ disk, kind: 'base', source, target }) as const);
  const boot = bootFiles(plan).map((file) => ({ kind: 'boot', ...file }) as const);
  return Promise.all(
    [...images, ...boot].map(async (file) => ({ ...file, bytes: (await existing(flow, file.source)).bytes })),
  );
}

async function existing({ from }: Flow, path: string): Promise<{ bytes: number }> {
  const stat = await from.files.stat(path);
  if (stat) return stat;
  throw new TransferError('E_SOURCE_MISSING', `${path} does not exist, and the machine has it as an image`, {
    hint: 'Put it back, or correct the description of the machine.',
  });
}

function sum(files: readonly FileFact[]): number {
  return files.reduce((bytes, file) => bytes + file.bytes, 0);
}
