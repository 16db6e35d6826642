/** How migrations are said to people: states, hosts, how far one is, and how long its guest stands still. */
import { formatBytes, formatDuration } from '../../core/units.js';
import type { MigrationState, MigrationView } from '../../migrate/migration-service.js';
import { STEPS } from '../../migrate/steps.js';
import type { VmRunState, VmStatus } from '../../migrate/vm.js';
import { sentence } from './words.js';

export const MIGRATION_WORDS: Readonly<Record<MigrationState, string>> = {
  asking: 'Asks you',
  failed: 'Failed',
  prepared: 'Prepared',
  running: 'Moving',
  aborting: 'Being aborted',
  queued: 'Waiting',
  done: 'Moved',
  aborted: 'Aborted',
};

/** The state of a job that looks as this does. */
export const LOOKS: Readonly<Record<MigrationState, string>> = {
  ...{ asking: 'transient-error', failed: 'error', prepared: 'transient-error', running: 'transferring' },
  ...{ aborting: 'transient-error', queued: 'queued', done: 'acknowledged', aborted: 'cancelled' },
};

export const RUN_WORDS: Readonly<Record<VmRunState, string>> = {
  ...{ running: 'runs', off: 'is off', paused: 'is paused', saved: 'is saved' },
  ...{ 'io-error': 'stands still after an I/O error', lost: 'its process is lost' },
};

const NOT_FOR_EYES = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/** What would turn the words around it, or hide, is shown as what it is. */
export function shownName(name: string): string {
  const shown = name.replace(NOT_FOR_EYES, '\ufffd').trim();
  return shown === '' ? '(no name)' : shown;
}

export function isOver(state: MigrationState): boolean {
  return state === 'done' || state === 'aborted';
}

export function hostWords(name: string): string {
  return name === 'local' ? 'this host' : name;
}

/** `/slow → /fast`, and between which hosts, where it leaves one. */
export function wayWords({ plan: { from, to, folders } }: MigrationView): string {
  if (from === to) return `${folders.source} → ${folders.target}`;
  return `${hostWords(from)}, ${folders.source} → ${hostWords(to)}, ${folders.target}`;
}

/** A sentence about it. One that begins with the name of the machine has it as it is written. */
export function said({ vmName }: MigrationView, text: string): string {
  const shown = text.replace(NOT_FOR_EYES, '\ufffd');
  return text.startsWith(vmName) ? `${shown}.` : sentence(shown);
}

/** Between 0 and 1: the steps, and how far the one is that is under way. */
export function shareMoved({ stepsDone, bytesDone = 0, bytesTotal = 0, state }: MigrationView): number {
  const part = state === 'running' && bytesTotal > 0 ? Math.min(1, bytesDone / bytesTotal) : 0;
  return Math.min(1, (stepsDone.length + part) / STEPS.length);
}

/** `Step 4 of 14: copy-bases`. */
export function stepWords({ step, stepsDone, state, failedStep }: MigrationView): string {
  const at = state === 'failed' ? (failedStep ?? step) : step;
  if (at === undefined) return `All ${STEPS.length} steps are done`;
  if (isOver(state)) return `${stepsDone.length} of ${STEPS.length} steps were done`;
  return `Step ${STEPS.indexOf(at) + 1} of ${STEPS.length}: ${at}`;
}

export function bytesWords({ bytesDone, bytesTotal, state }: MigrationView): string {
  if (state !== 'running' || bytesDone === undefined || !bytesTotal) return '';
  return `${Math.floor((bytesDone / bytesTotal) * 100)} % · ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
}

/** Of the guest that stands still, is going to, or did. */
export function blackoutWords({ plan, prediction, blackoutMs, state }: MigrationView): string {
  if (!plan.running) return 'It is off: nothing stands still';
  const predicted = prediction === undefined ? '' : formatDuration(prediction.blackoutMs);
  if (blackoutMs !== undefined) {
    return `Stood still for ${formatDuration(blackoutMs)}${predicted && `; ${predicted} predicted`}`;
  }
  return predicted === '' || isOver(state) ? '' : `Blackout of ${predicted} predicted`;
}

/** Why it cannot be moved now; undefined: it can. */
export function whyStays({ ownership, state }: VmStatus, moving: boolean): string | undefined {
  if (moving) return 'it is being moved already';
  if (ownership.state === 'gone') return `it was given to ${hostWords(ownership.to)}`;
  if (ownership.state === 'placeholder') return 'it is only on its way to here';
  return state === 'running' || state === 'off' ? undefined : `it ${RUN_WORDS[state]}`;
}
