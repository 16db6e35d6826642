/** Made-up results of a benchmark, for what is derived from them. */

import { adviceOf } from '../../../src/benchmark/advice.js';
import type { BenchmarkReport, CopyMeasurement, Measurement } from '../../../src/benchmark/report.js';
import { GiB, KiB, MiB } from '../../../src/core/units.js';
import type { Pattern } from '../../../src/transfer/measure/tasks.js';

type End = Measurement['end'];

export function measured(end: End, pattern: Pattern, threads: number, mibPerSecond: number): Measurement {
  const bytes = mibPerSecond * MiB;
  const latencyMs = { count: 900, p50: 0.085, p90: 0.12, p99: 1.25, p999: 9.94, max: 1234 };
  return {
    ...{ end, pattern, threads, bytes, seconds: 1, bytesPerSecond: bytes, cpus: 0.25, cutShort: false },
    operationsPerSecond: bytes / pattern.blockBytes,
    ...(pattern.kind !== 'hash' && { latencyMs }),
  };
}

export const coldRead: Pattern = { kind: 'read', access: 'cold', order: 'sequential', blockBytes: MiB };
export const directRead: Pattern = { ...coldRead, access: 'direct' };
export const directWrite: Pattern = { kind: 'write', access: 'direct', flush: 'none', blockBytes: MiB };
export const xxh64: Pattern = { kind: 'hash', algorithm: 'xxh64', blockBytes: 256 * KiB };
export const fetchOf = (lanes: number, blockBytes = 8 * MiB): Pattern => {
  return { kind: 'fetch', order: 'sequential', lanes, blockBytes };
};

export function copied(workers: number, lanes: number, mibPerSecond: number, chunkBytes = 8 * MiB): CopyMeasurement {
  const seconds = 100 / mibPerSecond;
  const bytes = 100 * MiB;
  return { workers, lanes, chunkBytes, bytes, runs: [seconds], seconds, bytesPerSecond: bytes / seconds, cpus: 1.5 };
}

export function sampleReport(): BenchmarkReport {
  const small: Pattern = { kind: 'read', access: 'direct', order: 'random', blockBytes: 4 * KiB };
  const flushed: Pattern = { kind: 'write', access: 'buffered', flush: 'each', blockBytes: 4 * KiB };
  const measurements = [
    measured('machine', xxh64, 1, 9000),
    measured('machine', xxh64, 2, 17_500),
    ...[64, 256, 1024, 4096].map((kib, at) =>
      measured('source', { ...directRead, blockBytes: kib * KiB }, 1, 400 + at * 200),
    ),
    measured('source', directRead, 2, 1040),
    measured('source', coldRead, 1, 1500),
    measured('source', coldRead, 2, 1530),
    measured('source', small, 1, 50),
    { ...measured('target', directWrite, 1, 700), cutShort: true },
    { end: 'target', pattern: directWrite, threads: 4, refused: 'too few bytes to write' } as const,
    measured('target', flushed, 1, 3),
  ];
  const copies = [
    copied(1, 2, 610),
    copied(2, 4, 655),
    copied(4, 8, 660),
    copied(2, 8, 640),
    copied(2, 4, 500, 32 * MiB),
  ];
  return {
    ...{ schema: 1, type: 'bench', at: Date.UTC(2026, 0, 31, 12, 30), seconds: 1, bytesWritten: 900 * MiB },
    machine: { cores: 2, cpu: 'A processor', memoryBytes: 8 * GiB, system: 'Linux 6.1.0 x64', node: 'v20.19.0' },
    source: { name: '/vms', kind: 'folder', bytes: 100 * MiB, fileSystem: 'ext4' },
    target: { name: '/backup', kind: 'folder', bytes: 100 * MiB, fileSystem: 'xfs' },
    ...{ measurements, copies, advice: adviceOf(measurements, copies) },
    notes: ['/vms has holes, which are read faster than data'],
  };
}
