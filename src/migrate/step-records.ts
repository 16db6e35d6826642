/** What is on record of a migration: each line is one of these, and says what was about to be done or was done. */
import { crc32 } from 'node:zlib';
import type { ErrorJson } from '../core/errors.js';
import type { SavedMemory } from './hypervisor.js';
import type { MigrationPlan } from './migration-plan.js';
import type { Prediction } from './predict.js';
import type { ReceiptFile } from './receipt-form.js';
import type { Step } from './steps.js';
import type { VmDescription } from './vm.js';

/** A file that is at the target; its SHA-256 as a whole may be told by a later record. */
export interface FileFact extends Omit<ReceiptFile, 'sha256'> {
  readonly sha256?: string;
  /** Of the target's file when it was found to be right. */
  readonly version?: string;
}

export interface StepFacts {
  /** The machine at the source as it is from then on; after a merge at the target, as it is there. */
  readonly vm?: VmDescription;
  readonly files?: readonly FileFact[];
  readonly state?: SavedMemory;
  readonly prediction?: Prediction;
  /** By path: what the source's files were when the copying began, or when the memory was saved. */
  readonly versions?: Readonly<Record<string, string>>;
  /** Bytes and milliseconds, from which the next prediction is made. */
  readonly took?: Readonly<Partial<Record<'save' | 'copy' | 'prove' | 'load' | 'other', Took>>>;
  /** The machine starts at the target without its memory, a power cut to its guest: why. */
  readonly withoutMemory?: string;
  /** It was not needed: why. */
  readonly skipped?: string;
}

export interface Took {
  readonly bytes: number;
  readonly ms: number;
}

interface AtStep {
  readonly at: number;
  readonly step: Step;
  /** Of the snapshot that it is about; only of `shrink-delta`, which is done several times. */
  readonly round?: number;
}

export type StepRecord =
  | { readonly type: 'plan'; readonly plan: MigrationPlan }
  | ({ readonly type: 'started'; readonly facts?: StepFacts } & AtStep)
  | ({ readonly type: 'done'; readonly facts?: StepFacts } & AtStep)
  | ({ readonly type: 'failed'; readonly error: ErrorJson } & AtStep)
  /** The blackout ended at the source: these are to be done again. */
  | { readonly type: 'undone'; readonly at: number; readonly steps: readonly Step[] }
  /** It waits for a cutover. */
  | { readonly type: 'waiting'; readonly at: number; readonly state: 'prepared' | 'asking'; readonly reason: string }
  | { readonly type: 'cutover'; readonly at: number; readonly maxBlackoutMs?: number; readonly anyway?: boolean }
  | { readonly type: 'abort'; readonly at: number }
  | { readonly type: 'aborted'; readonly at: number; readonly notes: readonly string[] }
  | { readonly type: 'finished'; readonly at: number };

export function encodeStep(record: StepRecord): string {
  const body = JSON.stringify(record);
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

/** Undefined for a damaged line. */
export function decodeStep(line: string): StepRecord | undefined {
  const body = line.slice(9);
  if (line[8] !== ' ' || crc32(body).toString(16).padStart(8, '0') !== line.slice(0, 8)) return undefined;
  return JSON.parse(body) as StepRecord;
}
