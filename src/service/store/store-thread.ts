/** The thread that has the database: one thing after the other, and errors as what they mean to a user. */
import { lstatSync } from 'node:fs';
import type { MessagePort } from 'node:worker_threads';
import { TransferError } from '../../core/errors.js';
import { ThreadLink } from '../../core/thread-link.js';
import { makeFolders } from '../../endpoint/state-folder.js';
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
  readonly write: (batch: Batch) => Promise<void>;
  readonly backUp: (nothing: undefined) => Promise<void>;
  readonly close: (nothing: undefined) => Promise<void>;
}

/** Serves as long as the thread lives; to be called once a thread. */
export function serveStore(port: MessagePort, { folder }: { readonly folder: string }): void {
  const places = placesIn(folder);
  let database: JobDatabase | undefined;
  const open = (): JobDatabase => {
    if (database) return database;
    throw new TransferError('E_BUG', 'the store of jobs was asked before it was open');
  };
  const deeds: StoreDeeds = {
    open: ({ at }) =>
      translated(places, 'cannot be opened', async () => {
        makePrivate(folder);
        await lockFolder(places.lock);
        const opened = openDatabase(places, at);
        database = opened.database;
        return opened.state;
      }),
    write: (batch) => translated(places, 'nothing could be stored', async () => open().write(batch)),
    backUp: () => translated(places, 'no backup could be made', async () => backUp(open(), places)),
    close: () => translated(places, 'its log could not be put into it', async () => database?.close()),
  };
  new ThreadLink(port, deeds);
}

async function translated<T>({ database }: Places, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw storeError(thrown, `${database}: ${what}`);
  }
}

/** What others may write to, they may put another database into. */
function makePrivate(folder: string): void {
  makeFolders(folder);
  assertOnlyOurs(folder, lstatSync(folder), 0o022);
}
