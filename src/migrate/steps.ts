/** The steps of a migration, in order; each is recorded before it starts, safe to repeat, and told as an event. */
import type { MigrationStep } from '../core/events.js';

export const STEPS = [
  /** Images, room, versions, ids, at both ends. */
  'check',
  /** A machine at the target that nothing can start. */
  'placeholder',
  /** All disks at one instant; the guest goes on in overlays. */
  'snapshot',
  /** One job for each image that stands still now, in the background; the guest runs. */
  'copy-bases',
  /** While the delta is larger than the budget: another snapshot, and what it freezes is copied. */
  'shrink-delta',
  /** The blackout begins. */
  'save-state',
  /** What the guest wrote since the last snapshot, and its memory. */
  'copy-delta',
  /** Digest and length of every file, the state included. */
  'prove',
  /** Images at the target name each other, and not the source. */
  're-point',
  /** The source gives the machine away: from here on there is no way back. */
  'switch-over',
  /** At the target, paused, from the saved state. */
  'start',
  /** The blackout ends. */
  'resume',
  /** Overlays into the bases, while the guest runs. */
  'merge',
  /** What the source still has, unless it is to be kept. */
  'release',
] as const satisfies readonly MigrationStep[];

export type Step = MigrationStep;

/** A machine that is off has no memory and writes nothing. */
export const ONLY_RUNNING: readonly Step[] = [
  ...(['snapshot', 'shrink-delta', 'save-state', 'copy-delta', 'start', 'merge'] as const),
];

/** While these are under way the guest stands still. */
export const STANDING_STILL: readonly Step[] = STEPS.slice(STEPS.indexOf('save-state'), STEPS.indexOf('merge'));

/** What each step does, for somebody who waits for it. */
export const STEP_DOES: Readonly<Record<Step, string>> = {
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
