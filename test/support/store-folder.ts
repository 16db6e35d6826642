/** The folder of a store, with what a test does to it between two openings. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/core/clock.js';
import type { StoredState } from '../../src/service/job-store.js';
import { SqliteStore } from '../../src/service/store/sqlite-store.js';

export class StoreFolder {
  readonly path: string;
  readonly #notes: string[] = [];

  constructor(path = mkdtempSync(join(tmpdir(), 'job-store-'))) {
    this.path = path;
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  }

  get database(): string {
    return join(this.path, 'jobs.sqlite');
  }

  get backup(): string {
    return join(this.path, 'jobs.backup.sqlite');
  }

  get names(): readonly string[] {
    return readdirSync(this.path).sort();
  }

  /** What the stores told while they were open. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  open(clock: Clock = systemClock): SqliteStore {
    return new SqliteStore({ folder: this.path, clock, note: (sentence) => this.#notes.push(sentence) });
  }

  /** Opens it, works with it, and closes it. */
  async use<T>(work: (store: SqliteStore, state: StoredState) => Promise<T>, clock: Clock = systemClock): Promise<T> {
    const store = this.open(clock);
    try {
      return await work(store, await store.load());
    } finally {
      await store.close();
    }
  }

  load(): Promise<StoredState> {
    return this.use(async (_store, state) => state);
  }
}
