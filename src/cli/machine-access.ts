/** Finds the machine that its user means, and the folders that are said for its files. */
import { dirname, resolve } from 'node:path';
import { TransferError } from '../core/errors.js';
import { type Machines, type MachinesOptions, openMachines } from '../index.js';
import type { TargetPaths } from '../migrate/migration-plan.js';
import type { VmStatus } from '../migrate/vm.js';
import { showPath } from '../platform/path-bytes.js';
import { shortId, socketOf } from './service-access.js';
import { type PlaceFlags, placesOf, type VmFlags } from './vm-program.js';

const ID_CHARACTERS_MIN = 4;
const LISTED_MAX = 10;

/** Those that the service knows too. */
export function machines({ state }: VmFlags, options: MachinesOptions = {}): Promise<Machines> {
  return openMachines({ ...options, state: dirname(socketOf(state)) });
}

/** @throws TransferError E_NO_VM, and E_USAGE where several could be meant */
export async function findVm({ host }: Machines, given: string): Promise<VmStatus> {
  const begins = (id: string): boolean => given.length >= ID_CHARACTERS_MIN && id.startsWith(given.toLowerCase());
  const found = (await host.list()).filter(({ vm }) => begins(vm.id) || vm.name === given);
  const [only, second] = found;
  if (only && !second) return only;
  const shown = JSON.stringify(showPath(given));
  if (!only) {
    throw new TransferError('E_NO_VM', `there is no machine ${shown}`, {
      hint: `Give its name or ${ID_CHARACTERS_MIN} characters of its id at least. See: blockferry vm list`,
    });
  }
  const several = found.slice(0, LISTED_MAX).map(({ vm }) => `${shortId(vm.id)} ${vm.name}`);
  throw new TransferError('E_USAGE', `${shown} could be any of ${found.length} machines`, {
    hint: `Give more of the id. They are:\n${several.join('\n')}`,
  });
}

/** Absolute; undefined where nothing was said. @throws TransferError E_USAGE */
export function targetPaths(flags: PlaceFlags): TargetPaths | undefined {
  const disks = Object.entries(placesOf(flags)).map(([id, folder]) => [id, resolve(folder)] as const);
  if (flags.to === undefined && disks.length === 0) return undefined;
  return {
    ...(flags.to !== undefined && { folder: resolve(flags.to) }),
    ...(disks.length > 0 && { disks: Object.fromEntries(disks) }),
  };
}
