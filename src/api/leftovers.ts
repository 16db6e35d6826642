/** `leftovers()`: unfinished uploads that a server keeps without a name. */
import { createRunner } from '../compose.js';
import type { Leftover } from '../endpoint/registry.js';
import { locationOf } from './options.js';

export interface LeftoversOptions {
  /** Aborts those that were begun before, in milliseconds since 1970, and that no copy from here goes on with. */
  readonly abortBeforeMs?: number;
}

/** The unfinished uploads below a location, such as `s3://bucket/prefix`. @throws TransferError */
export async function leftovers(location: string, options: LeftoversOptions = {}): Promise<readonly Leftover[]> {
  const runner = await createRunner(1);
  try {
    return await runner.run('leftovers', { location: locationOf('location', location), ...options });
  } finally {
    await runner.close();
  }
}
