/** Finds the migration that its user means. */
import { TransferError } from '../core/errors.js';
import type { ServiceClient } from '../daemon/client.js';
import type { MigrationState, MigrationView } from '../migrate/migration-service.js';
import { showPath } from '../platform/path-bytes.js';
import { shortId } from './service-access.js';

const ID_CHARACTERS_MIN = 4;
const LISTED_MAX = 10;
export const OVER: readonly MigrationState[] = ['done', 'aborted'];

/**
 * By its id, the beginning of one, or the name of its machine: of several the one that is not over, and else the last.
 * @throws TransferError E_NO_MIGRATION, and E_USAGE where several could be meant
 */
export async function findMigration({ migrations }: ServiceClient, given: string): Promise<MigrationView> {
  const begins = (id: string): boolean => given.length >= ID_CHARACTERS_MIN && id.startsWith(given.toLowerCase());
  const found = (await migrations.list()).filter(
    ({ id, vmName, vm }) => begins(id) || vmName === given || vm === given,
  );
  const open = found.filter(({ state }) => !OVER.includes(state));
  const [only, second] = open;
  if (only && !second) return only;
  const last = found.at(-1);
  const oneMachine = found.every(({ vm }) => vm === last?.vm);
  if (last && !only && oneMachine) return last;
  const shown = JSON.stringify(showPath(given));
  if (!last) {
    throw new TransferError('E_NO_MIGRATION', `there is no migration ${shown}`, {
      hint: 'Give the name of its machine or the beginning of its id. See: blockferry migrate status --all',
    });
  }
  const several = found.slice(0, LISTED_MAX).map(({ id, vmName, state }) => `${shortId(id)} ${vmName}: ${state}`);
  throw new TransferError('E_USAGE', `${shown} could be any of ${found.length} migrations`, {
    hint: `Give more of the id. They are:\n${several.join('\n')}`,
  });
}
