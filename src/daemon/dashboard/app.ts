/** What every view of the page gets: the service, what is known of it, and ways to tell its user something. */
import type { Caller } from '../../service/job-service.js';
import type { Announcer } from './announcer.js';
import type { Api, JobDetails } from './api.js';
import type { JobBook } from './job-book.js';
import type { MigrationBook } from './migration-book.js';
import type { RateHistory } from './rate-history.js';

export interface App {
  readonly api: Api;
  readonly jobs: JobBook;
  /** Absent: this service moves no machines, or not for who looks. */
  readonly migrations: MigrationBook | undefined;
  readonly history: RateHistory;
  readonly announcer: Announcer;
  readonly caller: Caller;
  /** Whether jobs that are over are listed too, also those from before the page was opened. */
  finishedToo: boolean;
  /** Where nothing else on the page shows that it worked. */
  tell(text: string): void;
  /** Asks for the whole list again. `keepEnded`: what ended while the page was open stays. Default true. */
  reload(keepEnded?: boolean): Promise<void>;
  /** Does it, says `done`, and shows what went wrong if something did; answers whether nothing did. */
  attempt(work: () => Promise<unknown>, done?: string): Promise<boolean>;
}

/** One of the page's views, for as long as it is shown. */
export interface View {
  readonly root: HTMLElement;
  /** Once a second. */
  tick?(): void;
  /** A job was asked for again, in whole. */
  fresh?(job: JobDetails): void;
}
