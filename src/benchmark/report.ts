/** The result of a benchmark: plain data, the same for the table, the chart, `--json` and the library. */
import type { Percentiles } from './percentiles.js';
import type { CopySettings, Step } from './plan.js';

/** One pattern, as measured; rates are sums over all threads. */
export interface Measurement extends Omit<Step, 'share'> {
  readonly bytes: number;
  /** From the first start to the last end of all threads. */
  readonly seconds: number;
  readonly bytesPerSecond: number;
  readonly operationsPerSecond: number;
  /** Processors that were kept busy, by everything that this process did: 1.5 is one and a half. */
  readonly cpus: number;
  /**
   * Of each block; of a fetch until a chunk's first bytes, and with order random until all of it. Milliseconds.
   */
  readonly latencyMs?: Percentiles;
  /** The bytes that it may write ended it before its time was over. */
  readonly cutShort: boolean;
}

/** What could not be measured here, and why, as the end of a sentence. */
export interface Refused extends Omit<Step, 'share'> {
  readonly refused: string;
}

export type MeasurementResult = Measurement | Refused;

/** The best copy with these settings: flushed, committed, and afterwards compared with its source, byte by byte. */
export interface CopyMeasurement extends CopySettings {
  readonly bytes: number;
  /** Of each run. */
  readonly runs: readonly number[];
  /** Of the best run: noise only ever adds. */
  readonly seconds: number;
  readonly bytesPerSecond: number;
  readonly cpus: number;
}

export interface EndReport {
  /** Without secrets. */
  readonly name: string;
  /** stream: anything that is neither a local path nor a device, such as a URL. */
  readonly kind: 'folder' | 'file' | 'device' | 'stream';
  /** What was read or written of it: the scratch file in a folder, otherwise the beginning of what is there. */
  readonly bytes: number;
  readonly fileSystem?: string;
}

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

export interface Advice {
  /** Absent: nothing could be measured that would tell. */
  readonly settings?: CopySettings;
  /** copies: measured by copying · parts: reckoned from reading, hashing and writing, which were measured alone. */
  readonly basis: 'copies' | 'parts';
  /** Rates that differ by less than this share are as good as each other: 0.03, or more where runs differ more. */
  readonly noise: number;
  /** The slowest of reading, hashing (on as many threads) and writing. */
  readonly limit?: { readonly by: 'source' | 'hash' | 'target'; readonly bytesPerSecond: number };
  readonly bytesPerSecond?: number;
  readonly msPerTiB?: number;
}

export interface BenchmarkReport {
  readonly schema: 1;
  readonly type: 'bench';
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly machine: Machine;
  readonly source: EndReport;
  /** Absent: nothing was written. The same as `source` when one folder was given. */
  readonly target?: EndReport;
  /** How long each step was measured. */
  readonly seconds: number;
  /** Bytes that were written in all. */
  readonly bytesWritten: number;
  readonly measurements: readonly MeasurementResult[];
  readonly copies: readonly CopyMeasurement[];
  readonly advice: Advice;
  /** What a reader should know, as plain sentences. */
  readonly notes: readonly string[];
}

export function isMeasured(result: MeasurementResult): result is Measurement {
  return !('refused' in result);
}
