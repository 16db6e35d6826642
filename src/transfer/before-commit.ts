/** A part that is whole may wait for its name for days; what it is then is compared with what was proven. */
import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { OpenedJob } from './opening.js';
import type { ProvenPart } from './proven-file.js';
import type { TransferParts } from './transfer.js';

type Asking = Pick<TransferParts, 'beforeCommit' | 'runner'> & { readonly job: OpenedJob };

/** @throws TransferError E_TARGET_CHANGED: the part was written to meanwhile; what is on record proves it again */
export async function askBeforeCommit(
  { beforeCommit, runner, job }: Asking,
  ref: EndpointRef,
  proven: ProvenPart,
): Promise<void> {
  if (!beforeCommit) return;
  await beforeCommit(proven);
  const { name, publish, vouchesForNothing } = job.site;
  // The times of a device are not those of its content, and a web server may say another one as soon as it has it all.
  if (publish === 'in-place' || vouchesForNothing) return;
  const now = await runner.run('mark-target', { ref });
  if (now.size === proven.part.size && now.mtimeNs === proven.part.mtimeNs) return;
  throw new TransferError(
    'E_TARGET_CHANGED',
    `the partial copy of ${name} was written to while it waited for its name`,
    {
      hint: 'See what else writes there. It is proven again, and mended, before it gets its name.',
    },
  );
}
