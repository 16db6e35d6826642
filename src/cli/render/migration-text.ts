/** A migration in calm lines: what it would do, how far it is, and what it has done. */
import type { ErrorJson } from '../../core/errors.js';
import type { NoteEvent, StepEvent } from '../../core/events.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import type { MigrationPlan } from '../../migrate/migration-plan.js';
import type { MigrationPreview, MigrationView } from '../../migrate/migration-service.js';
import { STEPS, type Step } from '../../migrate/steps.js';
import { shortId } from '../service-access.js';
import { count } from './summary.js';

/** What each step does, for somebody who waits for it. */
const WHAT: Readonly<Record<Step, string>> = {
  check: 'images, room, versions and ids are looked at, at both ends',
  placeholder: 'the machine is written down there; nothing can start it',
  snapshot: 'from here on the guest writes to new files',
  'copy-bases': 'what stands still now is copied, in the background',
  'shrink-delta': 'what was written meanwhile is copied, until little is left',
  'save-state': 'its memory is saved',
  'copy-delta': 'the rest and the memory are copied',
  prove: 'every file is read at the target, and compared',
  're-point': 'the images at the target name each other',
  'switch-over': 'it belongs to the target: no way back from here',
  start: 'its memory is loaded at the target',
  resume: 'the guest goes on',
  merge: 'the new files are merged into the images, while it runs',
  release: 'what the source still has is removed',
};
/** While these are under way the guest stands still. */
const BLACKOUT: readonly Step[] = [
  ...(['save-state', 'copy-delta', 'prove', 're-point', 'switch-over', 'start', 'resume'] as const),
];
/** Of a machine that is off. */
const ONLY_RUNNING: readonly Step[] = [
  ...(['snapshot', 'shrink-delta', 'save-state', 'copy-delta', 'start', 'merge'] as const),
];

export function previewLines({ plan, problems, bytes, prediction }: MigrationPreview): string[] {
  const { vm, running, images } = plan;
  const kinds = running ? 'it runs, and goes on running' : 'it is off';
  const memory = running ? `, and about ${formatBytes(prediction.memoryBytes)} of memory` : '';
  return [
    `${vm.name}: ${plan.from} to ${plan.to}; ${kinds}`,
    ...images.flatMap(({ disk, format, source, target }) => [`  ${disk} ${source} (${format})`, `     to ${target}`]),
    `  ${count(images.length, 'image')}, ${formatBytes(bytes)}${memory}`,
    ...stepLines(plan),
    ...blackoutLines(plan, prediction.blackoutMs),
    `  the images at the source are ${plan.keepSource ? 'kept' : 'removed when the machine runs at the target'}`,
    ...problems.map((problem) => `  in the way: ${problem}`),
    problems.length === 0 ? 'It can begin; nothing was changed.' : 'It cannot begin; nothing was changed.',
  ];
}

function stepLines({ running, keepSource }: MigrationPlan): string[] {
  const steps = STEPS.filter(
    (step) => (running || !ONLY_RUNNING.includes(step)) && !(keepSource && step === 'release'),
  );
  return steps.map((step, at) => {
    const still = running && BLACKOUT.includes(step) ? '*' : ' ';
    return `  ${String(at + 1).padStart(2)}${still} ${step.padEnd(12)} ${WHAT[step]}`;
  });
}

function blackoutLines({ running, maxBlackoutMs }: MigrationPlan, predictedMs: number): string[] {
  if (!running) return [];
  const limit = maxBlackoutMs === undefined ? 'no limit was said' : `at most ${formatDuration(maxBlackoutMs)}`;
  return [`  * the guest stands still: ${formatDuration(predictedMs)}, as predicted now; ${limit}`];
}

/** `3f2a91c0 web: running: copy-bases, 40 % of 8.00 GiB`. */
export function migrationLine(view: MigrationView): string {
  const { id, vmName, state, reason, step, bytesDone, bytesTotal } = view;
  const moved =
    bytesDone === undefined || !bytesTotal ? '' : `, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
  const at = state === 'running' && step !== undefined ? `: ${step}${moved}` : '';
  const why = state !== 'running' && reason !== '' ? `: ${reason}` : '';
  return `${shortId(id)} ${vmName}: ${state}${at}${why}`;
}

export function migrationLines(view: MigrationView): string[] {
  const { plan, stepsDone, rounds, prediction, blackoutMs, switchedOver, error } = view;
  return [
    migrationLine(view),
    `  ${plan.from} to ${plan.to}: ${count(plan.images.length, 'image')} to ${plan.folders.target}`,
    `  ${stepsDone.length} of ${STEPS.length} steps done; ${count(rounds, 'snapshot')}`,
    ...(prediction && blackoutMs === undefined
      ? [`  the guest is going to stand still for ${formatDuration(prediction.blackoutMs)}, as predicted`]
      : []),
    ...(blackoutMs === undefined ? [] : [`  the guest stood still for ${formatDuration(blackoutMs)}`]),
    `  the machine belongs to the ${switchedOver ? 'target' : 'source'}`,
    ...(error ? errorText(error) : []),
    ...nextLines(view),
    `  id ${view.id}`,
  ];
}

function errorText({ code, message, hint }: ErrorJson): string[] {
  return [`  error ${code}: ${message}`, ...(hint === undefined ? [] : [`  ${hint.replaceAll('\n', '\n  ')}`])];
}

/** What a user may do now. */
function nextLines({ id, state, switchedOver }: MigrationView): string[] {
  const short = shortId(id);
  const abort = switchedOver ? [] : [`  Give it up with: blockferry migrate abort ${short}`];
  if (state === 'prepared') return [`  Go on with: blockferry migrate cutover ${short}`, ...abort];
  if (state === 'asking') return [`  Let it: blockferry migrate cutover --anyway ${short}`, ...abort];
  if (state === 'failed') return [`  Try again with: blockferry migrate cutover ${short}`, ...abort];
  if (state === 'done') return [`  Its receipt: blockferry migrate receipt ${short}`];
  return [];
}

/** Undefined for what is not worth a line: a step that is done is followed by the next. */
export function stepLine(event: StepEvent | NoteEvent): string | undefined {
  if (event.type === 'note') return `note: ${event.message}`;
  const { state, number, steps, step, reason, round, predictedBlackoutMs, blackoutMs, error } = event;
  const name = `${String(number).padStart(2)}/${steps} ${step}${round === undefined ? '' : `, round ${round}`}`;
  if (state === 'failed') return `${name} failed: ${error?.message ?? reason}`;
  if (blackoutMs !== undefined) return `      the guest stood still for ${formatDuration(blackoutMs)}`;
  const predicted = predictedBlackoutMs === undefined ? '' : formatDuration(predictedBlackoutMs);
  if (state === 'started') return `${name}: ${reason}${predicted && `; predicted blackout ${predicted}`}`;
  return predicted && state === 'done' ? `      predicted blackout ${predicted}` : undefined;
}
