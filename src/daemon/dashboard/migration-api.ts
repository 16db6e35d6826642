/** The routes of machines and their migrations, as the page calls them. All throw ApiError. */
import type {
  CutoverOptions,
  MachinesView,
  MigrationPreview,
  MigrationRequest,
  MigrationTold,
  MigrationView,
} from '../../migrate/migration-service.js';
import type { Receipt } from '../../migrate/receipt-form.js';
import { json } from './api.js';

const ROUTE = '/v1/migrations';
const pathOf = (id: string): string => `${ROUTE}/${encodeURIComponent(id)}`;

export const migrationApi = {
  machines: (): Promise<MachinesView> => json('/v1/machines'),
  list: async (): Promise<readonly MigrationView[]> => {
    const { migrations } = await json<{ migrations: readonly MigrationView[] }>(ROUTE);
    return migrations;
  },
  get: (id: string): Promise<MigrationView> => json(pathOf(id)),
  plan: (request: MigrationRequest): Promise<MigrationPreview> => json(`${ROUTE}/plan`, 'POST', request),
  start: (request: MigrationRequest, prepareOnly: boolean): Promise<MigrationView> =>
    json(ROUTE, 'POST', { ...request, prepareOnly }),
  cutover: (id: string, options: CutoverOptions): Promise<MigrationView> =>
    json(`${pathOf(id)}/cutover`, 'POST', options),
  /** Answers when the machine is back in its images. */
  abort: (id: string): Promise<MigrationView> => json(`${pathOf(id)}/abort`, 'POST', {}),
  receipt: (id: string): Promise<Receipt> => json(receiptPath(id)),
  /** What was told since the service was started; where that is nothing, it waits for a while. */
  told: async (id: string, signal: AbortSignal): Promise<readonly MigrationTold[]> => {
    const path = `${pathOf(id)}/events?after=0`;
    const { events } = await json<{ events: readonly MigrationTold[] }>(path, 'GET', undefined, signal);
    return events;
  },
};

export function receiptPath(id: string): string {
  return `${pathOf(id)}/receipt`;
}
