/** The routes of the service, as the page calls them: same origin, session cookie, JSON. */
import type { ErrorJson } from '../../core/errors.js';
import type { JobSettings } from '../../service/job.js';
import type {
  Caller,
  Completed,
  Explanation,
  FileSpec,
  FileView,
  JobSpec,
  JobView,
  ServiceLoad,
} from '../../service/job-service.js';
import type { Policy } from '../../service/policy/policy.js';
import type { ChunkMapView } from '../../transfer/chunk-map.js';

export interface ServiceView {
  readonly version: string;
  readonly startedAt: number;
  readonly load: ServiceLoad;
  readonly caller: Caller;
  readonly movesMachines: boolean;
}

export type JobDetails = JobView & { readonly files: readonly FileView[] };

/** What the service refused, or that it did not answer (status 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly hint: string | undefined;
  readonly code: string | undefined;

  constructor(status: number, message: string, { hint, code }: { hint?: string | undefined; code?: string } = {}) {
    super(message);
    this.status = status;
    this.hint = hint;
    this.code = code;
  }
}

const jobPath = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`;

export class Api {
  /** @throws ApiError 401 */
  async signIn(token: string): Promise<void> {
    await check(await ask('/v1/session', { method: 'POST', headers: { authorization: `Bearer ${token}` } }));
  }

  async signOut(): Promise<void> {
    await check(await ask('/v1/session', { method: 'DELETE' }));
  }

  readonly service = (): Promise<ServiceView> => json('/v1/service');

  async jobs(finishedToo: boolean): Promise<readonly JobView[]> {
    const { jobs } = await json<{ jobs: readonly JobView[] }>(`/v1/jobs${finishedToo ? '?all=1' : ''}`);
    return jobs;
  }

  readonly job = (id: string): Promise<JobDetails> => json(jobPath(id));
  readonly why = (id: string): Promise<Explanation> => json(`${jobPath(id)}/why`);
  readonly create = (spec: JobSpec): Promise<JobView> => json('/v1/jobs', 'POST', spec);
  readonly addFiles = (id: string, files: readonly FileSpec[]): Promise<JobView> =>
    json(`${jobPath(id)}/files`, 'POST', { files });

  readonly suspend = (id: string): Promise<JobView> => json(`${jobPath(id)}/suspend`, 'POST', {});
  readonly resume = (id: string): Promise<JobView> => json(`${jobPath(id)}/resume`, 'POST', {});
  readonly complete = (id: string): Promise<JobView & Completed> => json(`${jobPath(id)}/complete`, 'POST', {});

  readonly cancel = (id: string, keepPartial: boolean): Promise<JobView> =>
    json(`${jobPath(id)}/cancel`, 'POST', { keepPartial });

  readonly change = (id: string, settings: Partial<JobSettings>): Promise<JobView> =>
    json(jobPath(id), 'PATCH', settings);

  /** Undefined while there is none: the file is not copied now. */
  async chunkMap(id: string, file: number, cells: number): Promise<ChunkMapView | undefined> {
    const answer = await ask(`${jobPath(id)}/files/${file}/map?cells=${cells}`);
    if (answer.status === 404) return undefined;
    return (await check(answer)).json() as Promise<ChunkMapView>;
  }

  readonly policy = (): Promise<{ policy: Policy; text: string }> => json('/v1/policy');

  async setPolicy(text: string): Promise<void> {
    await check(await ask('/v1/policy', { method: 'PUT', headers: { 'content-type': 'text/plain' }, body: text }));
  }
}

/** @throws ApiError */
export async function json<T>(path: string, method = 'GET', body?: unknown, signal?: AbortSignal): Promise<T> {
  const sent =
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await ask(path, { method, ...sent, ...(signal && { signal }) });
  return (await check(answer)).json() as Promise<T>;
}

async function ask(path: string, request: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...request });
  } catch {
    // What a browser says of a broken connection differs from one to the next and tells people nothing.
    throw new ApiError(0, 'The service does not answer.', { hint: 'The page tries again by itself.' });
  }
}

async function check(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => undefined);
  const error = (said as { error?: ErrorJson } | undefined)?.error;
  if (error?.message === undefined) throw new ApiError(answer.status, `The service answered ${answer.status}.`);
  throw new ApiError(answer.status, error.message, { hint: error.hint, code: error.code });
}
