/** What is asked of a worker about disk images, as plain data. */
import type { Location } from '../../core/endpoint.js';
import type { DiskCheck } from '../../disk/check.js';
import type { ChainDescription } from '../../disk/describe.js';
import type { DiskMap } from '../../disk/disk-map.js';
import type { Merged, MergeStep } from '../../disk/merge.js';
import type { MergeWish, PlannedStep } from '../../disk/merge-plan.js';
import type { ParentChange, ParentChanged } from '../../disk/set-parent.js';
import type { SharedControl } from '../control-block.js';

/** An image, and where the images that it builds on may be besides where it says. */
export interface DiskRequest {
  readonly location: Location;
  readonly parentFolders?: readonly string[];
}

export interface MapRequest extends DiskRequest {
  /** Without the images that it builds on. */
  readonly alone: boolean;
  /** Of the picture. */
  readonly cells: number;
}

/** The entries about disk images in the table of work. */
export interface DiskWork {
  'describe-disk': { in: DiskRequest; out: ChainDescription };
  'map-disk': { in: MapRequest; out: DiskMap };
  'check-disk': { in: DiskRequest; out: DiskCheck };
  'set-disk-parent': { in: ParentChange; out: ParentChanged };
  /** No steps: an earlier run had merged it already, and only its record was left. */
  'plan-merge': { in: MergeWish; out: readonly PlannedStep[] };
  'merge-disk': { in: { step: MergeStep; control: SharedControl }; out: Merged };
}
