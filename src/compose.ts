/** The only file that picks concrete parts: which endpoints there are, which files, which clock, which runner. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from './core/clock.js';
import { localScheme } from './endpoint/local.js';
import { nullScheme, zeroScheme } from './endpoint/null.js';
import type { EndpointScheme, Registry } from './endpoint/registry.js';
import { FileJournals } from './journal/file-journal.js';
import { realFiles } from './platform/file-layer.js';
import type { ChunkRunner } from './transfer/chunk-runner.js';
import type { PerformerParts } from './transfer/perform.js';

/** Network ends are loaded when they are first asked for: a local copy should not pay for them. */
async function http(): Promise<EndpointScheme> {
  const { openHttpSource, attachHttpSource } = await import('./endpoint/http.js');
  return { openSource: (location) => openHttpSource(location), attachSource: (ref) => attachHttpSource(ref) };
}

export function defaultRegistry(): Registry {
  return {
    file: () => localScheme(realFiles),
    http,
    https: http,
    zero: zeroScheme,
    null: () => nullScheme(() => join(tmpdir(), `.null-${process.pid}.blockferry-journal`)),
  };
}

export function performerParts(): PerformerParts {
  return { registry: defaultRegistry(), journals: new FileJournals(realFiles), clock: systemClock };
}

export async function createRunner(workers?: number): Promise<ChunkRunner> {
  const { PoolRunner } = await import('./transfer/pool-runner.js');
  return new PoolRunner(workers);
}
