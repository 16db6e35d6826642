/**
 * `blockferry job watch`: what the service tells of a job, drawn as a copy is. What the job's state is decides when it
 * is over, and not an event: events may be missed while the service is away, and old ones may come late.
 */
import { systemClock } from '../../core/clock.js';
import { ERROR_KINDS, type ErrorCode, TransferError } from '../../core/errors.js';
import type { JobState } from '../../core/events.js';
import type { ListenAbout, ServiceClient, WholeJobView } from '../../daemon/client.js';
import { EXIT_INTERRUPTED, onInterrupt } from '../follow.js';
import { JobProgress, WAITING } from '../render/job-progress.js';
import { settledLines } from '../render/job-text.js';
import { createReporter, type Reporter } from '../render/reporter.js';
import type { MapView } from '../render/screen.js';
import { findJob, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';

/** How soon an end is seen that no event has told. */
const LOOK_EVERY_MS = 1000;
/** What was told before the end comes before it; but an end that no event tells is not waited for much longer. */
const LAST_EVENTS_MS = 1000;
const AWAY: readonly ErrorCode[] = ['E_NO_SERVICE', 'E_NETWORK', 'E_TIMEOUT', 'E_UNAVAILABLE'];
/** Nothing more happens by itself. */
const SETTLED: readonly JobState[] = ['transferred', 'acknowledged', 'cancelled', 'error'];

export async function runJobWatch(session: Session, given: string, flags: ServiceFlags): Promise<number> {
  const job = await withService(flags, async (client) => {
    const id = await findJob(client, given);
    // Asked before the job is looked at: what happens in between is told.
    const { load } = await client.service();
    return new Watch(session, client, flags).follow(await client.get(id), load.lastEventId);
  });
  if (!job) {
    session.err.line('blockferry: not watched any more; the job goes on');
    session.err.line(`  Watch it again with: blockferry job watch ${given}`);
    return EXIT_INTERRUPTED;
  }
  return tellEnd(session, job, flags);
}

function tellEnd({ out, err }: Session, job: WholeJobView, { json, quiet }: ServiceFlags): number {
  if (job.state === 'error') {
    throw TransferError.fromJSON(job.error ?? { code: 'E_BUG', message: `${job.name} is in error: ${job.reason}` });
  }
  const { lines, next } = settledLines(job);
  if (json) out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...job });
  else if (!quiet) for (const line of lines) out.line(line);
  if (next !== undefined && !quiet) err.line(next);
  return job.state === 'cancelled' ? ERROR_KINDS.E_STOPPED.exitCode : 0;
}

class Watch {
  readonly #session: Session;
  readonly #client: ServiceClient;
  readonly #flags: ServiceFlags;
  readonly #stop = new AbortController();
  /** Aborted, and replaced, when an event says that it is worth a look. */
  #nap = new AbortController();
  /** Aborted when an event has told of an end. */
  readonly #endTold = new AbortController();
  /** How many the map was drawn with; 0: it was not. */
  #cells = 0;
  #map: ReturnType<MapView>;
  #away = false;

  constructor(session: Session, client: ServiceClient, flags: ServiceFlags) {
    this.#session = session;
    this.#client = client;
    this.#flags = flags;
  }

  /** How the job ended; undefined after an interrupt. */
  async follow(job: WholeJobView, after: number): Promise<WholeJobView | undefined> {
    if (SETTLED.includes(job.state)) return job;
    const { json, quiet } = this.#flags;
    // Of --json the events are printed here, each with its job.
    const told = { quiet: (json || quiet) ?? false };
    const reporter = await createReporter(this.#session, 'copying', told, this.#mapView(job));
    const progress = new JobProgress();
    const done = onInterrupt(this.#session, () => this.#end());
    try {
      if (WAITING.includes(job.state)) {
        const { sentence } = await this.#client.why(job.id);
        reporter.say(`${job.state}: ${sentence}`);
      }
      const hearing = this.#hear({ job: job.id, after }, progress, reporter).finally(() => this.#wake());
      const settled = this.#look(job.id, progress, reporter).finally(() => this.#end());
      // Whoever fails first ends the other, and is the one that is told.
      const [end] = await Promise.all([settled, hearing.catch((thrown) => this.#fail(thrown))]);
      return end;
    } finally {
      reporter.end();
      done();
    }
  }

  #end(): void {
    this.#stop.abort();
    this.#wake();
  }

  #fail(thrown: unknown): never {
    this.#end();
    throw thrown;
  }

  #wake(): void {
    this.#nap.abort();
  }

  async #hear(about: ListenAbout, progress: JobProgress, reporter: Reporter): Promise<void> {
    for await (const told of this.#client.events(about, this.#stop.signal)) {
      const { event, ...about } = told;
      if (this.#flags.json) this.#session.out.json({ ...event, ...about });
      const { say, events } = progress.see(told);
      if (say !== undefined && !this.#flags.quiet) reporter.say(say);
      for (const one of events) await reporter.event(one);
      if (event.type !== 'state' || !SETTLED.includes(event.state)) continue;
      if (told.file === undefined) this.#endTold.abort();
      this.#wake();
    }
  }

  /** Until the job is settled, or nobody wants to know any more. */
  async #look(id: string, progress: JobProgress, reporter: Reporter): Promise<WholeJobView | undefined> {
    while (!this.#stop.signal.aborted) {
      // Nobody reads any more what this is for.
      if (this.#flags.json && !this.#session.out.open) return undefined;
      this.#nap = new AbortController();
      const job = await this.#get(id, reporter);
      if (job && SETTLED.includes(job.state)) {
        await systemClock.sleep(LAST_EVENTS_MS, AbortSignal.any([this.#endTold.signal, this.#stop.signal]));
        return job;
      }
      if (job) for (const event of progress.files(job)) await reporter.event(event);
      if (job && this.#cells > 0) this.#map = await this.#client.chunkMap(id, 0, this.#cells).catch(() => this.#map);
      await systemClock.sleep(LOOK_EVERY_MS, this.#nap.signal);
    }
    return undefined;
  }

  /** Undefined while the service is away: it comes back, and goes on with the job. */
  async #get(id: string, reporter: Reporter): Promise<WholeJobView | undefined> {
    try {
      const job = await this.#client.get(id);
      if (this.#away) reporter.say('the service is there again');
      this.#away = false;
      return job;
    } catch (thrown) {
      if (!(thrown instanceof TransferError) || !AWAY.includes(thrown.code)) throw thrown;
      if (!this.#away) reporter.say('the service is away; waiting for it');
      this.#away = true;
      return undefined;
    }
  }

  /** Of a job of one file. It is fetched now and then, as wide as it was drawn last. */
  #mapView({ files }: WholeJobView): MapView | undefined {
    if (files.length !== 1) return undefined;
    return (cells) => {
      this.#cells = cells;
      return this.#map;
    };
  }
}
