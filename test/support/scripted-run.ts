/** Events, results and maps as a run would give them, written down: for tests of what people see. */
import type {
  FileEvent,
  LimitEvent,
  ProgressEvent,
  TimeAccount,
  TimeSpent,
  TransferEvent,
} from '../../src/core/events.js';
import { GiB, MiB } from '../../src/core/units.js';
import type { PartialStatus, TransferResult, VerifyResult } from '../../src/index.js';
import { ChunkMap } from '../../src/transfer/chunk-map.js';

const base = { schema: 1, at: 0 } as const;

export const noTime: TimeSpent = {
  sourceReadMs: 0,
  hashMs: 0,
  targetWriteMs: 0,
  targetReadMs: 0,
  limitMs: 0,
  classLimitMs: 0,
  allLimitMs: 0,
  windowLimitMs: 0,
  deadlineMs: 0,
  sourcePressureMs: 0,
  targetPressureMs: 0,
  linkPressureMs: 0,
  workerMs: 0,
  flushMs: 0,
  retryMs: 0,
  queuedMs: 0,
  idleMs: 0,
  otherMs: 0,
};

export function progress(change: Partial<ProgressEvent> = {}): ProgressEvent {
  return {
    ...base,
    type: 'progress',
    phase: 'copying',
    proof: 'written',
    bytesDone: 430 * MiB,
    bytesTotal: GiB,
    bytesReused: 0,
    bytesZero: 0,
    rateBytesPerSecond: 20 * MiB,
    remainingMs: 29_700,
    spent: noTime,
    ...change,
  };
}

export function limit(reason: string, at = 0): LimitEvent {
  return { ...base, at, type: 'limit', limit: 'target', reason };
}

export function file(path: string, change: Partial<FileEvent> = {}): FileEvent {
  return { ...base, type: 'file', state: 'started', path, size: GiB, ...change };
}

/** The same moment for all of them. */
export function at<Event extends TransferEvent>(wallMs: number, event: Event): Event {
  return { ...event, at: wallMs };
}

/** A resumed copy with holes, at a chunk that had to be sent again. */
export function sampleMap(chunks = 640): ChunkMap {
  const map = new ChunkMap(chunks);
  const upTo = (share: number): number => Math.floor(share * chunks);
  const write = (chunk: number): void => {
    map.started(chunk, 'copy');
    map.written(chunk);
  };
  for (let chunk = 0; chunk < upTo(0.2); chunk++) {
    map.claimed(chunk);
    map.started(chunk, 'prove');
    map.settled(chunk);
  }
  for (let chunk = upTo(0.2); chunk < upTo(0.5); chunk++) {
    write(chunk);
    if (chunk === upTo(0.3)) {
      map.again(chunk);
      write(chunk);
    }
    map.settled(chunk);
  }
  for (let chunk = upTo(0.5); chunk < upTo(0.6); chunk++) write(chunk);
  for (let chunk = upTo(0.6); chunk < upTo(0.6) + 4; chunk++) map.started(chunk, 'copy');
  for (let chunk = upTo(0.8); chunk < upTo(0.9); chunk++) map.zero(chunk);
  return map;
}

export const sampleAccount: TimeAccount = {
  lanes: 4,
  workers: 2,
  openingMs: 42,
  copying: {
    wallMs: 12_300,
    spent: {
      ...noTime,
      sourceReadMs: 4200,
      hashMs: 14_900,
      targetWriteMs: 3900,
      workerMs: 24_100,
      flushMs: 1800,
      idleMs: 210,
      otherMs: 90,
    },
  },
  readingBack: {
    wallMs: 3100,
    spent: { ...noTime, targetReadMs: 5900, hashMs: 400, workerMs: 5950, otherMs: 150 },
  },
  checksummingMs: 0,
  committingMs: 130,
  byCause: { sourceRead: 1050, hash: 3825, targetWrite: 975, readBack: 1475, flush: 450, worker: 7512, opening: 42 },
};

export const sampleResult: TransferResult = {
  source: 'a.img',
  target: 'b.img',
  bytesTotal: GiB,
  bytesReused: 0,
  bytesAdopted: 0,
  bytesMismatched: 0,
  bytesZero: 0,
  bytesCloned: 0,
  bytesCopied: GiB,
  bytesRepaired: 0,
  proof: 'written',
  algorithm: 'xxh64',
  chunkBytes: 8 * MiB,
  root: '0123456789abcdef',
  of: 'container',
  elapsedMs: 2000,
  spent: sampleAccount,
};

export const sampleComparison: VerifyResult = {
  same: false,
  one: { name: '/backup/disk.vhd', size: GiB },
  other: { name: 'disk.vhd', size: GiB },
  differing: [
    { offset: 4096, length: 512 },
    { offset: 700 * MiB, length: 1 },
  ],
  bytesDiffering: 513,
  root: '0123456789abcdef',
  of: 'container',
  algorithm: 'xxh64',
  chunkBytes: 8 * MiB,
  elapsedMs: 1200,
};

export const sampleStatus: PartialStatus = {
  target: '/backup/disk.vhd',
  exists: false,
  partial: {
    source: 'disk.vhd',
    bytesTotal: GiB,
    bytesClaimed: 400 * MiB,
    bytesZero: 30 * MiB,
    startedAt: 1_700_000_000_000,
    damagedRecords: 0,
    chunkBytes: 8 * MiB,
    stopped: { at: 1_700_000_300_000, code: 'E_STOPPED', message: 'stopped' },
  },
};
