/** The thread that has the database: it does one thing after the other, and tells errors as what they mean to a user. */
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import type { MessagePort } from 'node:worker_threads';
import { TransferError } from '../../core/errors.js';
import { ThreadLink } from '../../core/thread-link.js';
import { assertOnlyOurs } from '../../platform/private-file.js';
import type { StoredState } from '../job-store.js';
import { lockFolder } from './folder-lock.js';
import type { Batch, JobDatabase } from './job-database.js';
import { backUp, openDatabase, type Places, placesIn } from './open-database.js';
import { storeError } from './sqlite.js';

/** What the store asks of its thread. */
export interface StoreDeeds {
  readonly [deed: string]: (request: never) => unknown;
  /** Locks the folder, and opens, makes or restores what is in it; milliseconds since 1970. */
  readonly open: (request: { readonly at: number }) => Promise<StoredState>;
  readonly write: (batch: Batch) => void;
  readonly backUp: (nothing: undefined) => void;
  readonly close: (nothing: undefined) => void;
}

/** Serves as long as the thread lives; to be called once a thread. */
export function serveStore(port: MessagePort, { folder }: { readonly folder: string }): void {
  const places = placesIn(folder);
  let database: JobDatabase | undefined;
  const opened = (): JobDatabase => {
    if (database) return database;
    throw new TransferError('E_BUG', 'the store of jobs was asked before it was open');
  };
  const deeds: StoreDeeds = {
    open: async ({ at }) => {
      makePrivate(folder);
      await lockFolder(places.lock);
      return told(places, 'could not be opened', () => {
        const found = openDatabase(places, at);
        database = found.database;
        const { jobs, told: events, notes } = database.read(at);
        return { jobs, told: events, notes: [...found.notes, ...notes] };
      });
    },
    write: (batch) => told(places, 'nothing could be stored', () => opened().write(batch)),
    backUp: () => told(places, 'no backup could be made', () => backUp(opened(), places)),
    close: () => told(places, 'the log could not be put into it', () => database?.close()),
  };
  new ThreadLink(port, deeds);
}

function told<T>({ database }: Places, what: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw storeError(thrown, `${database}: ${what}`);
  }
}

/** What others may write to, they may put another database into. */
function makePrivate(folder: string): void {
  if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(folder, 0o700);
  assertOnlyOurs(folder, lstatSync(folder), 0o022);
}
