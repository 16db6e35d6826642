/**
 * The event streams (SSE) of all clients: what the service tells, as it is told, after the last event that a client has
 * heard. A client that does not read is dropped and told so, and harms nobody else.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import type { MigrationService } from '../../migrate/migration-service.js';
import type { Caller, JobService } from '../../service/job-service.js';
import type { Told } from '../../service/told.js';
import { shown } from './answers.js';

export interface StreamLimits {
  readonly streamsMax: number;
  /** Of one caller who is no administrator. */
  readonly perCallerMax: number;
  /** What waits for a client to read it. */
  readonly bufferedBytesMax: number;
  /** How long it may wait then. */
  readonly stallMs: number;
  readonly beatMs: number;
}

export const STREAM_LIMITS: StreamLimits = {
  streamsMax: 2_000,
  perCallerMax: 100,
  bufferedBytesMax: 256 * KiB,
  stallMs: 10_000,
  beatMs: 15_000,
};
/** Whoever is so far behind gets no progress until the rest is read: a newer one comes anyway. */
const BEHIND_BYTES = 16 * KiB;
/** For the last words to a client. */
const LAST_WORDS_MS = 2_000;

export interface StreamRequest {
  readonly caller: Caller;
  readonly after?: number;
  readonly job?: string;
  /** What happens in migrations too, from now on. */
  readonly migrations: boolean;
  /** Whether the caller may still listen. */
  readonly stillMay: () => boolean;
}

interface Stream extends StreamRequest {
  readonly response: ServerResponse;
  /** Aborted when it shall end. */
  readonly stop: AbortController;
  /** Aborted when it has ended, and all of it was read. */
  readonly gone: AbortSignal;
}

export interface StreamsParts {
  readonly service: JobService;
  readonly migrations?: MigrationService;
  readonly clock: Clock;
  readonly limits?: Partial<StreamLimits>;
}

export class EventStreams {
  readonly #service: JobService;
  readonly #migrations: MigrationService | undefined;
  readonly #clock: Clock;
  readonly #limits: StreamLimits;
  readonly #streams = new Set<Stream>();
  readonly #closing = new AbortController();
  /** Everybody hears the same event in the same words. */
  readonly #frames = new WeakMap<Told, string>();
  #dropped = 0;

  constructor({ service, migrations, clock, limits }: StreamsParts) {
    this.#service = service;
    this.#migrations = migrations;
    this.#clock = clock;
    this.#limits = { ...STREAM_LIMITS, ...limits };
    void this.#beat();
  }

  get open(): number {
    return this.#streams.size;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** @throws TransferError E_NO_JOB, E_UNAVAILABLE: there are too many; before anything is written */
  admit({ caller, job }: Pick<StreamRequest, 'caller' | 'job'>): void {
    if (job !== undefined) this.#service.why(job, caller);
    const { streamsMax, perCallerMax } = this.#limits;
    const own = caller.admin ? 0 : [...this.#streams].filter((stream) => stream.caller.name === caller.name).length;
    if (this.#streams.size < streamsMax && own < perCallerMax && !this.#closing.signal.aborted) return;
    const whose = own >= perCallerMax ? `${caller.name} has ${own} open event streams` : 'too many listen already';
    throw new TransferError('E_UNAVAILABLE', `no event stream can be opened: ${whose}`, {
      hint: 'Close some, or try again later.',
      retryAfterMs: this.#limits.beatMs,
    });
  }

  /** Answers with events until the client goes, is dropped, or may not listen any more. Never rejects. */
  async serve(request: StreamRequest, response: ServerResponse): Promise<void> {
    const [stop, gone] = [new AbortController(), new AbortController()];
    const stream: Stream = { ...request, response, stop, gone: gone.signal };
    this.#streams.add(stream);
    response.on('close', () => gone.abort());
    gone.signal.addEventListener('abort', () => stop.abort());
    // A broken connection is the client's end, and 'close' tells it.
    response.on('error', () => undefined);
    response.socket?.setKeepAlive(true, this.#limits.beatMs);
    try {
      const { lastEventId } = this.#service.load();
      // Numbers of a state folder that is no more would keep all that happens from being told.
      const after = Math.min(request.after ?? lastEventId, lastEventId);
      response.write(`retry: 1000\nid: ${after}\n\n`);
      const told = [this.#tellAll(stream, after)];
      if (request.migrations && this.#migrations) told.push(this.#tellMigrations(stream, this.#migrations));
      await Promise.race(told);
      stop.abort();
      await this.#end(stream, '');
    } catch (thrown) {
      stop.abort();
      const error = TransferError.from(thrown);
      await this.#end(stream, `event: dropped\ndata: ${JSON.stringify({ error: shown(error.toJSON()) })}\n\n`);
    } finally {
      this.#streams.delete(stream);
    }
  }

  close(): void {
    this.#closing.abort();
    for (const { stop } of this.#streams) stop.abort();
  }

  async #tellAll(stream: Stream, after: number): Promise<void> {
    const { caller, job, response, stop } = stream;
    const about = { after, ...(job !== undefined && { job }) };
    for await (const told of this.#service.events(caller, about, stop.signal)) {
      if (stop.signal.aborted) return;
      if (told.event.type === 'progress' && response.writableLength > BEHIND_BYTES) continue;
      response.write(this.#frame(told));
      await this.#waitForRoom(stream);
    }
  }

  /** Without numbers: those of the jobs' events are what a client comes back with. */
  async #tellMigrations(stream: Stream, migrations: MigrationService): Promise<void> {
    const { response, stop } = stream;
    for await (const told of migrations.events({}, stop.signal)) {
      if (stop.signal.aborted) return;
      response.write(`event: migration\ndata: ${JSON.stringify(told)}\n\n`);
      await this.#waitForRoom(stream);
    }
  }

  /** @throws TransferError E_UNAVAILABLE where nothing is read for too long */
  async #waitForRoom({ response, stop }: Stream): Promise<void> {
    // Below its own high-water mark (64 KiB from Node 22 on) a response never tells that it was drained.
    const { writableLength, writableNeedDrain } = response;
    if (!writableNeedDrain || writableLength <= this.#limits.bufferedBytesMax) return;
    const waited = new AbortController();
    const { signal } = waited;
    stop.signal.addEventListener('abort', () => waited.abort(), { signal });
    const drained = once(response, 'drain', { signal }).catch(() => undefined);
    await Promise.race([drained, this.#clock.sleep(this.#limits.stallMs, signal)]);
    waited.abort();
    if (stop.signal.aborted || response.writableLength <= this.#limits.bufferedBytesMax) return;
    this.#dropped++;
    throw new TransferError('E_UNAVAILABLE', 'this event stream is dropped: what it told was not read for too long', {
      hint: 'Listen again after the last event that was heard; then nothing is missed.',
    });
  }

  /** Who does not read does not keep a connection for that. */
  async #end({ response, gone }: Stream, words: string): Promise<void> {
    response.end(words);
    await this.#clock.sleep(LAST_WORDS_MS, gone);
    if (!response.writableFinished) response.destroy();
  }

  #frame(told: Told): string {
    const known = this.#frames.get(told);
    if (known !== undefined) return known;
    const frame = `id: ${told.id}\nevent: ${told.event.type}\ndata: ${JSON.stringify(told)}\n\n`;
    this.#frames.set(told, frame);
    return frame;
  }

  /** Keeps what lies between from giving an idle connection up, and ends what may not go on. */
  async #beat(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#clock.sleep(this.#limits.beatMs, signal);
      for (const { response, stillMay, stop } of this.#streams) {
        if (!stillMay()) stop.abort();
        else if (response.writableLength <= BEHIND_BYTES) response.write(': still here\n\n');
      }
    }
  }
}
