/** Migrations of a service, called from another process: each call is one route. */
import type {
  CutoverOptions,
  MigrationPreview,
  MigrationRequest,
  MigrationTold,
  MigrationView,
} from '../migrate/migration-service.js';
import type { Receipt } from '../migrate/receipt-form.js';
import { type ClientCalls, LONG_ANSWER_MS_MAX } from './client-calls.js';

const ROUTE = '/v1/migrations';

/** All calls throw TransferError. */
export class MigrationCalls {
  readonly #calls: ClientCalls;

  constructor(calls: ClientCalls) {
    this.#calls = calls;
  }

  plan(request: MigrationRequest): Promise<MigrationPreview> {
    return this.#calls.send('POST', `${ROUTE}/plan`, request);
  }

  start(request: MigrationRequest & { readonly prepareOnly?: boolean }): Promise<MigrationView> {
    return this.#calls.send('POST', ROUTE, request);
  }

  async list(): Promise<readonly MigrationView[]> {
    const { migrations } = await this.#calls.get<{ readonly migrations: readonly MigrationView[] }>(ROUTE);
    return migrations;
  }

  get(id: string): Promise<MigrationView> {
    return this.#calls.get(pathOf(id));
  }

  cutover(id: string, options: CutoverOptions): Promise<MigrationView> {
    return this.#calls.send('POST', `${pathOf(id)}/cutover`, options);
  }

  /** Answers when the machine is back in its images, which takes as long as they are merged. */
  abort(id: string): Promise<MigrationView> {
    return this.#calls.send('POST', `${pathOf(id)}/abort`, undefined, LONG_ANSWER_MS_MAX);
  }

  receipt(id: string): Promise<Receipt> {
    return this.#calls.get(`${pathOf(id)}/receipt`);
  }

  /** What happened after that number, or within the next seconds. */
  async events(id: string, after: number): Promise<readonly MigrationTold[]> {
    const query = { after: String(after) };
    const answer = await this.#calls.get<{ readonly events: readonly MigrationTold[] }>(`${pathOf(id)}/events`, query);
    return answer.events;
  }
}

function pathOf(id: string): string {
  return `${ROUTE}/${encodeURIComponent(id)}`;
}
