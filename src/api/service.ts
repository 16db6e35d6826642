/** `openService()`: the queue of jobs, in this process. */
import { statSync } from 'node:fs';
import { serviceParts } from '../compose.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { makeFolders, stateFolder } from '../endpoint/state-folder.js';
import type { JobService } from '../service/job-service.js';

export interface ServiceOptions {
  /**
   * Folder of the jobs, the policy and the log; made when it is missing, for its user alone. One service at a time has
   * it. Default: `BLOCKFERRY_STATE`, or `blockferry` in the user's state folder.
   */
  readonly state?: string;
  /** Hears what concerns no single job, as sentences: a policy that is wrong, a database that had to be restored. */
  readonly onNote?: (sentence: string) => void;
}

/**
 * Opens the service: jobs are where they were, and those that were under way go on. Close it, or they go on only at the
 * next start. @throws TransferError E_LOCKED when another process has the folder, E_USAGE, E_POLICY, E_STORE
 */
export async function openService({ state = stateFolder(), onNote }: ServiceOptions = {}): Promise<JobService> {
  makeState(state);
  const { Service } = await import('../service/service.js');
  const parts = await serviceParts(state, onNote ?? (() => undefined));
  try {
    return await Service.start(parts);
  } catch (thrown) {
    // Nobody else would end what already watches and waits, and with it the process.
    parts.policies.close();
    await parts.store.close();
    throw thrown;
  }
}

/** @throws TransferError E_USAGE */
function makeState(folder: string): void {
  try {
    makeFolders(folder);
    if (statSync(folder).isDirectory()) return;
  } catch (cause) {
    throw noState(folder, `it cannot be made (${errnoOf(cause) ?? String(cause)})`, cause);
  }
  throw noState(folder, 'it is a file');
}

function noState(folder: string, why: string, cause?: unknown): TransferError {
  return new TransferError('E_USAGE', `${folder} cannot be the state folder: ${why}`, {
    hint: 'Name another with --state or BLOCKFERRY_STATE.',
    cause,
  });
}
