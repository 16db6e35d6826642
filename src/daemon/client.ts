/**
 * The service, called from another process: over its Unix socket, or over HTTP with a token. Each call is one route;
 * what the service refuses is thrown here as the error that it was there.
 */
import { type Clock, systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { JobState } from '../core/events.js';
import type { MachinesView } from '../migrate/migration-service.js';
import type { JobSettings } from '../service/job.js';
import type { Completed, Explanation, FileSpec, JobSpec, JobView } from '../service/job-service.js';
import type { Policy } from '../service/policy/policy.js';
import type { Told } from '../service/told.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import { ClientCalls, LONG_ANSWER_MS_MAX, type ServiceAddress } from './client-calls.js';
import { type ListenAbout, listen } from './client-events.js';
import type { PolicyView, ServiceView, WholeJobView } from './control/schemas.js';
import { MigrationCalls } from './migration-calls.js';

export type { ServiceAddress } from './client-calls.js';
export type { ListenAbout } from './client-events.js';
export type { PolicyView, ServiceView, WholeJobView } from './control/schemas.js';

/** All calls throw TransferError; E_NO_SERVICE where nothing listens. Nothing connects before the first one. */
export class ServiceClient {
  readonly migrations: MigrationCalls;
  readonly #calls: ClientCalls;
  readonly #clock: Clock;

  constructor(at: ServiceAddress, clock: Clock = systemClock) {
    this.#calls = new ClientCalls(at);
    this.migrations = new MigrationCalls(this.#calls);
    this.#clock = clock;
  }

  service(): Promise<ServiceView> {
    return this.#calls.get('/v1/service');
  }

  /** Of the service's host. */
  machines(): Promise<MachinesView> {
    return this.#calls.get('/v1/machines');
  }

  create(spec: JobSpec): Promise<JobView> {
    return this.#calls.send('POST', '/v1/jobs', spec);
  }

  /** `all`: finished ones too. */
  async list(
    filter: { readonly states?: readonly JobState[]; readonly all?: boolean } = {},
  ): Promise<readonly JobView[]> {
    const { states, all } = filter;
    const query = { ...(states && { state: states.join(',') }), ...(all && { all: '1' }) };
    const { jobs } = await this.#calls.get<{ readonly jobs: readonly JobView[] }>('/v1/jobs', query);
    return jobs;
  }

  get(id: string): Promise<WholeJobView> {
    return this.#calls.get(jobPath(id));
  }

  addFiles(id: string, files: readonly FileSpec[]): Promise<JobView> {
    return this.#calls.send('POST', `${jobPath(id)}/files`, { files });
  }

  suspend(id: string): Promise<JobView> {
    return this.#calls.send('POST', `${jobPath(id)}/suspend`);
  }

  resume(id: string): Promise<JobView> {
    return this.#calls.send('POST', `${jobPath(id)}/resume`);
  }

  cancel(id: string, options: { readonly keepPartial: boolean }): Promise<JobView> {
    return this.#calls.send('POST', `${jobPath(id)}/cancel`, options);
  }

  complete(id: string): Promise<JobView & Completed> {
    return this.#calls.send('POST', `${jobPath(id)}/complete`, undefined, LONG_ANSWER_MS_MAX);
  }

  change(id: string, settings: Partial<JobSettings>): Promise<JobView> {
    return this.#calls.send('PATCH', jobPath(id), settings);
  }

  /** Answers how many sources it changed. */
  async replacePrefix(id: string, from: string, to: string): Promise<number> {
    const path = `${jobPath(id)}/replace-prefix`;
    const { changed } = await this.#calls.send<{ readonly changed: number }>('POST', path, { from, to });
    return changed;
  }

  why(id: string): Promise<Explanation> {
    return this.#calls.get(`${jobPath(id)}/why`);
  }

  /** Undefined while that file is not being copied. @throws TransferError E_NO_JOB */
  async chunkMap(id: string, file: number, cells: number): Promise<ChunkMapView | undefined> {
    try {
      return await this.#calls.get(`${jobPath(id)}/files/${file}/map`, { cells: String(cells) });
    } catch (thrown) {
      if (thrown instanceof TransferError && thrown.code === 'E_JOB_STATE') return undefined;
      throw thrown;
    }
  }

  policy(): Promise<PolicyView> {
    return this.#calls.get('/v1/policy');
  }

  /** @throws TransferError E_POLICY with line and column; the old one stays */
  async setPolicy(toml: string): Promise<Policy> {
    const { policy } = await this.#calls.send<PolicyView>('PUT', '/v1/policy', toml);
    return policy;
  }

  /**
   * What the service tells. A lost connection is made again, and goes on after the last event that was heard. Ends when
   * the signal aborts. @throws TransferError where the service cannot be reached at first, or refuses
   */
  events(about: ListenAbout, signal: AbortSignal): AsyncIterable<Told> {
    return listen(this.#calls, about, this.#clock, signal);
  }

  /** For Prometheus. */
  metrics(): Promise<string> {
    return this.#calls.text('/metrics');
  }

  /** Ends all calls and events that are under way. */
  close(): Promise<void> {
    return this.#calls.close();
  }
}

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}
