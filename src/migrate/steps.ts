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
