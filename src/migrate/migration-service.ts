/** What migrations offer to whoever holds them: the daemon's routes, the command, a program that orchestrates. */
import type { ErrorJson } from '../core/errors.js';
import type { NoteEvent, StepEvent } from '../core/events.js';
import type { MigrationPlan, PlannedImage, TargetPaths } from './migration-plan.js';
import type { Prediction } from './predict.js';
import type { Receipt, ReceiptStep } from './receipt-form.js';
import type { Step } from './steps.js';
import type { VmStatus } from './vm.js';

export interface MigrationRequest {
  /** Id of the machine. */
  readonly vm: string;
  /** Names of the ends. Default: `local`. */
  readonly from?: string;
  readonly to?: string;
  readonly paths: TargetPaths;
  /** The source's images stay when the machine runs at the target. Default false. */
  readonly keepSource?: boolean;
  /** Milliseconds that the machine may stand still; absent: as short as one round makes it. */
  readonly maxBlackoutMs?: number;
}

export type MigrationState =
  /** So many run already: it waits for its turn. */
  | 'queued'
  | 'running'
  /** All but the blackout is done, and it waits for `cutover`; the machine runs at the source. */
  | 'prepared'
  /** The blackout would be longer than it may be: a cutover with another limit goes on, or an abort. */
  | 'asking'
  /** A step failed. `cutover` tries it again; before the switch-over the machine runs at the source. */
  | 'failed'
  | 'aborting'
  | 'aborted'
  | 'done';

export interface MigrationView {
  readonly id: string;
  readonly vm: string;
  readonly vmName: string;
  readonly state: MigrationState;
  /** A plain sentence: why it is in this state. */
  readonly reason: string;
  /** The first that is not done; absent: all are. */
  readonly step?: Step;
  readonly stepsDone: readonly Step[];
  /** What is done, with its times; what is done several times stands here as often. */
  readonly steps: readonly ReceiptStep[];
  /** Milliseconds since 1970: when `step` was begun, also where it is tried again; absent: it was not. */
  readonly stepStartedAt?: number;
  /** Of the step that copies or merges. */
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  /** Snapshots that were made. */
  readonly rounds: number;
  readonly plan: MigrationPlan;
  readonly prediction?: Prediction;
  readonly blackoutMs?: number;
  /** The machine belongs to the target, and there is no way back. */
  readonly switchedOver: boolean;
  readonly error?: ErrorJson;
  /** Which one failed; where the blackout was undone, `step` is an earlier one. */
  readonly failedStep?: Step;
}

/** What happens in a migration. */
export interface MigrationTold {
  /** Grows by one. */
  readonly id: number;
  readonly migration: string;
  readonly event: StepEvent | NoteEvent;
}

export interface CutoverOptions {
  /** Milliseconds: a limit in place of the one that it was begun with. */
  readonly maxBlackoutMs?: number;
  /** However long it takes. */
  readonly anyway?: boolean;
}

export interface MigrationService {
  /** What a migration would do; nothing is changed. @throws TransferError E_NO_VM, E_USAGE */
  plan(request: MigrationRequest): Promise<MigrationPreview>;
  /** All of it. Answers when it is on record. @throws TransferError E_NO_VM, E_VM_STATE, E_USAGE */
  start(request: MigrationRequest): Promise<MigrationView>;
  /** As `start`, and stops before the blackout. */
  prepare(request: MigrationRequest): Promise<MigrationView>;
  /** Goes on: into the blackout, or with the step that failed. @throws TransferError E_MIGRATION_STATE */
  cutover(id: string, options?: CutoverOptions): Promise<MigrationView>;
  /** Answers when the machine is back in its images at the source. @throws TransferError E_MIGRATION_STATE */
  abort(id: string): Promise<MigrationView>;
  /** @throws TransferError E_NO_MIGRATION */
  get(id: string): MigrationView;
  /** In the order of their creation. */
  list(): readonly MigrationView[];
  /** Answers when nothing happens any more by itself. */
  settled(id: string): Promise<MigrationView>;
  /** What was told after that number and is still known, and then what happens, until the signal aborts. */
  events(
    about: { readonly after?: number; readonly migration?: string },
    signal: AbortSignal,
  ): AsyncIterable<MigrationTold>;
  /** Undefined until it is done. */
  receipt(id: string): Receipt | undefined;
  /** What happens is on record, and goes on at the next start. */
  close(): Promise<void>;
}

/** What can be moved from here, and where to. */
export interface MachinesView {
  readonly machines: readonly VmStatus[];
  /** As migrations call them: `local`, and the peers that the service's user knows. */
  readonly hosts: readonly string[];
}

export interface MigrationPreview {
  readonly plan: MigrationPlan;
  /** Sentences: what is in the way; none: it can begin. */
  readonly problems: readonly string[];
  readonly bytes: number;
  /** The images of the plan, as large as they are now. */
  readonly images: readonly SizedImage[];
  readonly prediction: Prediction;
}

export interface SizedImage extends PlannedImage {
  /** Absent: it is not there. */
  readonly bytes?: number;
}
