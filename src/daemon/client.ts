/**
 * The service, called from another process: over its Unix socket, or over HTTP with a token. Each call is one route;
 * what the service refuses is thrown here as the error that it was there.
 */

import type { JobState } from '../core/events.js';
import type { JobSettings } from '../service/job.js';
import type {
  Caller,
  Completed,
  Explanation,
  FileSpec,
  FileView,
  JobSpec,
  JobView,
  ServiceLoad,
} from '../service/job-service.js';
import type { Policy } from '../service/policy.js';
import type { Told } from '../service/told.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';

export interface ClientOptions {
  /** Where the service is: its socket, or `http://` or `https://` with a token. */
  readonly at: { readonly socketPath: string } | { readonly url: string; readonly token: string; readonly ca?: string };
}

export interface ServiceView {
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly load: ServiceLoad;
  readonly caller: Caller;
}

export interface PolicyView {
  readonly policy: Policy;
  readonly text: string;
}

/** A job with its files. */
export type WholeJobView = JobView & { readonly files: readonly FileView[] };

/** All throw TransferError; E_NO_SERVICE where nothing listens. Nothing connects before the first call. */
export interface ServiceClient {
  service(): Promise<ServiceView>;
  create(spec: JobSpec): Promise<JobView>;
  /** `all`: finished ones too. */
  list(filter?: { readonly states?: readonly JobState[]; readonly all?: boolean }): Promise<readonly JobView[]>;
  get(id: string): Promise<WholeJobView>;
  addFiles(id: string, files: readonly FileSpec[]): Promise<JobView>;
  suspend(id: string): Promise<JobView>;
  resume(id: string): Promise<JobView>;
  cancel(id: string, options: { readonly keepPartial: boolean }): Promise<JobView>;
  complete(id: string): Promise<JobView & Completed>;
  change(id: string, settings: Partial<JobSettings>): Promise<JobView>;
  replacePrefix(id: string, from: string, to: string): Promise<number>;
  why(id: string): Promise<Explanation>;
  chunkMap(id: string, file: number, cells: number): Promise<ChunkMapView | undefined>;
  policy(): Promise<PolicyView>;
  setPolicy(toml: string): Promise<Policy>;
  /**
   * What the service tells, from `after` on, or from now on. A lost connection is made again, and goes on after the
   * last event that was heard; ends when the signal aborts.
   */
  events(about: { readonly after?: number; readonly job?: string }, signal: AbortSignal): AsyncIterable<Told>;
  close(): Promise<void>;
}

export function connectService(_options: ClientOptions): ServiceClient {
  throw new Error('not there yet');
}
