/** The whole engine on this one thread, with the file calls and the clock of the test's choice. */
import type { Clock } from '../../src/core/clock.js';
import type { Location } from '../../src/core/endpoint.js';
import { lookAtSource, lookAtTarget } from '../../src/disk/gate.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import type { Registry } from '../../src/endpoint/registry.js';
import { FileJournals } from '../../src/journal/file-journal.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import type { MemoryBytes } from '../../src/transfer/cache-use.js';
import type { ChunkRunner } from '../../src/transfer/chunk-runner.js';
import { diskScheme } from '../../src/transfer/disk-ends.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { Performer } from '../../src/transfer/perform.js';
import { Transfer, type TransferRequest } from '../../src/transfer/transfer.js';
import type { Yielding } from '../../src/transfer/yielding.js';
import { FakeClock } from './fake-clock.js';

export interface InlineOptions extends Partial<Omit<TransferRequest, 'source' | 'target'>> {
  readonly source: string | Location;
  readonly target: string | Location;
  readonly files?: FileLayer;
  readonly clock?: Clock;
  readonly workers?: number;
  readonly memoryBytes?: MemoryBytes;
  readonly paces?: readonly SharedArrayBuffer[];
  readonly yielding?: Yielding;
  /** Ends besides local ones. */
  readonly registry?: Registry;
  /** Puts something between the engine and its runner. */
  readonly around?: (runner: ChunkRunner) => ChunkRunner;
}

/** A transfer that was not started yet. With the default clock only looking at it takes time, and nobody waits long. */
export function inlineTransfer(options: InlineOptions): Transfer {
  const { source, target, files = realFiles, clock = new FakeClock({ lookMs: 1 }), ...others } = options;
  const { workers, registry, memoryBytes, paces, yielding, around = (runner) => runner, ...rest } = others;
  const ends: Registry = { file: () => localScheme(files), ...registry };
  const parts = {
    registry: { ...ends, disk: () => diskScheme(ends) },
    journals: new FileJournals(files),
    gate: async () => ({ source: lookAtSource, target: lookAtTarget }),
    clock,
  };
  const request: TransferRequest = {
    algorithm: 'xxh64',
    rateBytesPerSecond: 0,
    overwrite: false,
    discard: false,
    sync: true,
    readBack: false,
    ...rest,
    source: typeof source === 'string' ? parseLocation(source) : source,
    target: typeof target === 'string' ? parseLocation(target) : target,
  };
  const runner = around(new InlineRunner(new Performer(parts), workers));
  return new Transfer(request, {
    runner,
    clock,
    random: () => 0.5,
    ...(memoryBytes && { memoryBytes }),
    ...(paces && { paces }),
    ...(yielding && { yielding }),
  });
}
