/**
 * What is known of a migration: its journal, and what follows from the records in it. What is entered here is durable
 * before anybody acts on it.
 */
import type { Clock } from '../core/clock.js';
import type { TransferError } from '../core/errors.js';
import type { SavedMemory } from './hypervisor.js';
import type { MigrationPlan } from './migration-plan.js';
import type { Prediction } from './predict.js';
import type { ReceiptStep } from './receipt-form.js';
import type { StepJournal } from './step-journal.js';
import type { FileFact, StepFacts, StepRecord } from './step-records.js';
import type { Step } from './steps.js';
import type { VmDescription } from './vm.js';

/** What is done while the machine stands still, and is done again when it ran on at the source. */
export const BLACKOUT_STEPS: readonly Step[] = ['shrink-delta', 'save-state', 'copy-delta', 'prove', 're-point'];

type Started = Extract<StepRecord, { type: 'started' }>;
type Done = Extract<StepRecord, { type: 'done' }>;

export class MigrationBook {
  readonly plan: MigrationPlan;
  readonly #journal: StepJournal;
  readonly #clock: Clock;
  readonly #started = new Map<string, Started>();
  readonly #done = new Map<string, Done>();
  readonly #files = new Map<string, FileFact>();
  #vm: VmDescription;
  #prediction: Prediction | undefined;
  #attempt = 1;
  #last: StepRecord | undefined;
  #isAborting = false;
  #cutover: Extract<StepRecord, { type: 'cutover' }> | undefined;
  readonly #everStarted = new Set<Step>();

  constructor(journal: StepJournal, clock: Clock) {
    this.#journal = journal;
    this.#clock = clock;
    this.plan = journal.plan;
    this.#vm = journal.plan.vm;
    for (const record of journal.records) this.#take(record);
  }

  /** At the source, as of its last snapshot; after the merge, at the target. */
  get vm(): VmDescription {
    return this.#vm;
  }

  get prediction(): Prediction | undefined {
    return this.#prediction;
  }

  /** Which time the machine stands still, or is going to. From 1. */
  get attempt(): number {
    return this.#attempt;
  }

  get cutover(): { readonly maxBlackoutMs?: number; readonly anyway?: boolean } | undefined {
    return this.#cutover;
  }

  get last(): StepRecord | undefined {
    return this.#last;
  }

  /** Its abort was begun: whatever was recorded since, there is only the way back. */
  get isAborting(): boolean {
    return this.#isAborting;
  }

  /** By the path at the target. */
  get files(): ReadonlyMap<string, FileFact> {
    return this.#files;
  }

  get saved(): SavedMemory | undefined {
    return this.facts('save-state')?.state;
  }

  /** It started at the target without it: why. */
  get withoutMemory(): string | undefined {
    return this.startFacts('start')?.withoutMemory;
  }

  isDone(step: Step, round?: number): boolean {
    return this.#done.has(key(step, round));
  }

  isStarted(step: Step, round?: number): boolean {
    return this.#started.has(key(step, round));
  }

  /** Also when it was undone since. */
  wasEverStarted(step: Step): boolean {
    return this.#everStarted.has(step);
  }

  facts(step: Step, round?: number): StepFacts | undefined {
    return this.#done.get(key(step, round))?.facts;
  }

  startFacts(step: Step, round?: number): StepFacts | undefined {
    return this.#started.get(key(step, round))?.facts;
  }

  startedAt(step: Step, round?: number): number | undefined {
    return this.#started.get(key(step, round))?.at;
  }

  doneAt(step: Step, round?: number): number | undefined {
    return this.#done.get(key(step, round))?.at;
  }

  /** Snapshots that were made or begun. */
  get rounds(): number {
    let round = this.isStarted('snapshot') ? 1 : 0;
    while (round > 0 && this.isStarted('shrink-delta', round + 1)) round++;
    return round;
  }

  /** From the saving of its memory to its running at the target. */
  get blackoutMs(): number | undefined {
    const [from, to] = [this.startedAt('save-state'), this.doneAt('resume')];
    return from === undefined || to === undefined || !this.plan.running ? undefined : to - from;
  }

  get steps(): ReceiptStep[] {
    return [...this.#done.values()].flatMap(({ step, round, at }) => {
      const startedAt = this.startedAt(step, round);
      return startedAt === undefined ? [] : [{ step, ...(round !== undefined && { round }), startedAt, doneAt: at }];
    });
  }

  /** A step that is begun again keeps what was noted when it was first. */
  start(step: Step, { round, facts }: { round?: number | undefined; facts?: StepFacts } = {}): void {
    const noted = this.startFacts(step, round) ?? facts;
    const at = this.#started.get(key(step, round))?.at ?? this.#now();
    this.#enter({ type: 'started', at, step, ...(round !== undefined && { round }), ...(noted && { facts: noted }) });
  }

  done(step: Step, facts: StepFacts, round?: number): void {
    this.#enter({ type: 'done', at: this.#now(), step, ...(round !== undefined && { round }), facts });
  }

  failed(step: Step, error: TransferError): void {
    this.#enter({ type: 'failed', at: this.#now(), step, error: error.toJSON() });
  }

  undone(): void {
    this.#enter({ type: 'undone', at: this.#now(), steps: BLACKOUT_STEPS });
  }

  waits(state: 'prepared' | 'asking', reason: string): void {
    this.#enter({ type: 'waiting', at: this.#now(), state, reason });
  }

  askCutover(options: { readonly maxBlackoutMs?: number; readonly anyway?: boolean }): void {
    this.#enter({ type: 'cutover', at: this.#now(), ...options });
  }

  abort(): void {
    this.#enter({ type: 'abort', at: this.#now() });
  }

  aborted(notes: readonly string[]): void {
    this.#enter({ type: 'aborted', at: this.#now(), notes });
  }

  finished(): void {
    this.#enter({ type: 'finished', at: this.#now() });
  }

  close(): void {
    this.#journal.close();
  }

  #now(): number {
    return this.#clock.wallMs();
  }

  #enter(record: StepRecord): void {
    this.#journal.append(record);
    this.#take(record);
  }

  #take(record: StepRecord): void {
    this.#last = record;
    if (record.type === 'cutover') this.#cutover = record;
    if (record.type === 'abort' || record.type === 'aborted') this.#isAborting = record.type === 'abort';
    if (record.type === 'started') {
      this.#everStarted.add(record.step);
      this.#started.set(key(record.step, record.round), record);
    }
    if (record.type === 'done') this.#takeDone(record);
    if (record.type !== 'undone') return;
    this.#attempt++;
    const gone = (['copy-delta', 'prove'] as const).flatMap((step) => this.facts(step)?.files ?? []);
    for (const { target } of gone) this.#files.delete(target);
    for (const step of record.steps) {
      this.#done.delete(step);
      this.#started.delete(step);
    }
  }

  #takeDone(record: Done): void {
    const { step, round, facts } = record;
    this.#done.set(key(step, round), record);
    if (facts?.vm) this.#vm = facts.vm;
    if (facts?.prediction) this.#prediction = facts.prediction;
    for (const file of facts?.files ?? []) {
      this.#files.set(file.target, { ...this.#files.get(file.target), ...file });
    }
  }
}

function key(step: Step, round: number | undefined): string {
  return round === undefined ? step : `${step} ${round}`;
}
