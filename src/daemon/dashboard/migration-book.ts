/**
 * What the page knows of the migrations: what the list said, and what events told since. What an event says too little
 * of is asked for again, soon; whoever shows it is called at most once a frame.
 */
import { systemClock } from '../../core/clock.js';
import type { NoteEvent } from '../../core/events.js';
import type { MigrationTold, MigrationView } from '../../migrate/migration-service.js';
import { ApiError } from './api.js';
import { migrationApi } from './migration-api.js';
import { isOver, MIGRATION_WORDS, shownName } from './migration-words.js';

/** What happens together is asked for together. */
const GATHER_MS = 250;
/** Beyond so many the whole list costs less than each of them. */
const SINGLY_MAX = 4;
/** What no event tells, such as a place in the line, is asked for every so many seconds while something goes on. */
const LOOK_EVERY_SECONDS = 5;
const NOTES_MAX = 200;

export class MigrationBook {
  readonly #say: (text: string) => void;
  readonly #views = new Map<string, MigrationView>();
  readonly #notes = new Map<string, NoteEvent[]>();
  readonly #watchers = new Set<() => void>();
  readonly #stale = new Set<string>();
  #asking = false;
  #due = false;
  #isKnown = false;
  #ticks = 0;

  /** `say`: to whoever does not see the page, when one ended or needs somebody. */
  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  get all(): readonly MigrationView[] {
    return [...this.#views.values()];
  }

  /** Whether the list was heard once. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  get(id: string): MigrationView | undefined {
    return this.#views.get(id);
  }

  notes(id: string): readonly NoteEvent[] {
    return this.#notes.get(id) ?? [];
  }

  watch(watcher: () => void, signal: AbortSignal): void {
    this.#watchers.add(watcher);
    signal.addEventListener('abort', () => this.#watchers.delete(watcher), { once: true });
  }

  put(view: MigrationView): void {
    const before = this.#views.get(view.id)?.state;
    this.#views.set(view.id, view);
    this.#changed();
    if (before === undefined || before === view.state || view.state === 'queued' || view.state === 'running') return;
    this.#say(`${shownName(view.vmName)}: ${MIGRATION_WORDS[view.state].toLowerCase()}.`);
  }

  apply({ migration, event }: MigrationTold): void {
    if (event.type === 'note') {
      this.#note(migration, event);
      return;
    }
    const view = this.#views.get(migration);
    const { state, step, reason, bytesDone, bytesTotal, predictedBlackoutMs } = event;
    if (view && state === 'progress' && bytesDone !== undefined && bytesTotal !== undefined) {
      this.#views.set(migration, { ...view, step, reason, bytesDone, bytesTotal });
      this.#changed();
    }
    if (!view || state !== 'progress' || predictedBlackoutMs !== undefined || view.step !== step) this.ask(migration);
  }

  /** What was told before anybody looked. A browser has few connections: this one is given up with the signal. */
  async askForNotes(id: string, signal: AbortSignal): Promise<void> {
    await quietly(async () => {
      for (const { event } of await migrationApi.told(id, signal)) if (event.type === 'note') this.#note(id, event);
    });
  }

  /** Has it asked for again, soon. */
  ask(id: string): void {
    this.#stale.add(id);
    if (!this.#asking) void this.#askAgain();
  }

  /** All of them. Where the service is away, that is told above the page, and this is called again. */
  reload(): Promise<void> {
    return quietly(async () => {
      const listed = await migrationApi.list();
      this.#isKnown = true;
      const ids = new Set(listed.map(({ id }) => id));
      for (const id of this.#views.keys()) if (!ids.has(id)) this.#views.delete(id);
      for (const view of listed) this.put(view);
      this.#changed();
    });
  }

  /** Once a second, while migrations are shown. */
  tick(): void {
    const goesOn = this.all.some(({ state }) => !isOver(state));
    if (goesOn && !document.hidden && ++this.#ticks % LOOK_EVERY_SECONDS === 0) void this.reload();
  }

  #note(migration: string, event: NoteEvent): void {
    const known = this.#notes.get(migration) ?? [];
    if (known.some(({ at, message }) => at === event.at && message === event.message)) return;
    this.#notes.set(migration, [...known, event].sort((one, other) => one.at - other.at).slice(-NOTES_MAX));
    this.#changed();
  }

  async #askAgain(): Promise<void> {
    this.#asking = true;
    while (this.#stale.size > 0) {
      await systemClock.sleep(GATHER_MS);
      const ids = [...this.#stale];
      this.#stale.clear();
      if (ids.length > SINGLY_MAX) await this.reload();
      else await Promise.all(ids.map((id) => quietly(async () => this.put(await migrationApi.get(id)))));
    }
    this.#asking = false;
  }

  #changed(): void {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      for (const watcher of this.#watchers) watcher();
    });
  }
}

async function quietly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
  }
}
