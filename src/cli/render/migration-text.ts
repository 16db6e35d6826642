/** A migration in calm lines: what it would do, how far it is, and what it has done. */
import type { ErrorJson } from '../../core/errors.js';
import type { NoteEvent, StepEvent } from '../../core/events.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import type { MigrationPlan } from '../../migrate/migration-plan.js';
import type { MigrationPreview, MigrationView } from '../../migrate/migration-service.js';
import { ONLY_RUNNING, STANDING_STILL, STEP_DOES, STEPS } from '../../migrate/steps.js';
import { shortId } from '../service-access.js';
import { count } from './summary.js';

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
    const still = running && STANDING_STILL.includes(step) ? '*' : ' ';
    return `  ${String(at + 1).padStart(2)}${still} ${step.padEnd(12)} ${STEP_DOES[step]}`;
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
