/** `status()`: what is there of a target. */
import { createRunner } from '../compose.js';
import { type PartialStatus, partialStatus } from '../transfer/partial-status.js';
import { locationOf } from './options.js';

/** What is known of a target and of its partial copy. @throws TransferError */
export async function status(target: string): Promise<PartialStatus> {
  const runner = await createRunner(1);
  try {
    return await partialStatus(locationOf('target', target), runner);
  } finally {
    await runner.close();
  }
}
