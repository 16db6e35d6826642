/** A copy, and what it said on the way. */
import { type CopyOptions, copy, type TransferResult } from '../../src/index.js';

export async function copyNoting(options: CopyOptions): Promise<{ result: TransferResult; notes: string[] }> {
  const notes: string[] = [];
  const run = copy({ workers: 2, ...options });
  for await (const event of run) if (event.type === 'note') notes.push(event.message);
  return { result: await run.result, notes };
}
