/**
 * What can be seen of one storage or link, put together into samples: what others do there, told apart from what we do
 * ourselves, how long our own blocks take, and how much others are stalled. What cannot be seen is said in a sentence.
 */
import { join } from 'node:path';
import { readMeter } from '../core/pace-level.js';
import type { Others, Sample } from './control-law.js';
import type { OwnLevels, Watched } from './controller.js';
import { type BlockDevice, SYSTEM, type SystemFolders, textOf } from './device.js';
import { parseCgroup, parseDeviceStat, parseOwnRead, parsePressure } from './readings.js';

/**
 * Samples of which the middle one counts: ours show at the device a moment earlier or later than with us, and whoever
 * flushes a file system once is no crowd, while one who works is there in each of them.
 */
const MIDDLE_OF = 5;
const IDLE_SAMPLES = 10;

interface Seen {
  readonly bytes: number;
  readonly blocks: number;
  readonly latencyMs: number;
  readonly latencyMs2: number;
  readonly readBytes: number;
  readonly readBlocks: number;
  readonly requests: number | undefined;
  readonly deviceBytes: number;
  readonly ownRead: number | undefined;
  readonly stalledUs: number | undefined;
  readonly ownStalledUs: number | undefined;
}

export class Signals implements Watched {
  readonly #levels: OwnLevels;
  readonly name: string;
  readonly link: boolean;
  readonly #statistics: string | undefined;
  readonly #folders: SystemFolders;
  readonly #pressure: string | undefined;
  readonly #ownPressure: string | undefined;
  #before: Seen;
  /** Samples since something was read, and written. */
  readonly #idle = { reads: IDLE_SAMPLES, writes: IDLE_SAMPLES };
  readonly #foreign: Others[] = [];

  /** Of a device, or of a link by its name, of which nothing is known but how long our blocks take. */
  constructor(levels: OwnLevels, place: BlockDevice | string, folders: SystemFolders = SYSTEM) {
    const device = typeof place === 'string' ? undefined : place;
    this.name = typeof place === 'string' ? place : place.name;
    this.link = !device;
    this.#levels = levels;
    this.#folders = folders;
    this.#statistics = device?.statistics;
    this.#pressure = device && join(folders.proc, 'pressure/io');
    const group = device && parseCgroup(textOf(join(folders.proc, 'self/cgroup')) ?? '');
    this.#ownPressure = group === undefined ? undefined : join(folders.sys, 'fs/cgroup', group, 'io.pressure');
    this.#before = this.#look().seen;
  }

  /** Who uses the device, and not only how long we wait, can be told. */
  get seesOthers(): boolean {
    return this.#before.requests !== undefined;
  }

  get seesPressure(): boolean {
    return this.#before.stalledUs !== undefined;
  }

  /** How many ways our bytes go: 2 for those that are read and written here. */
  get flows(): number {
    const { reads, writes } = this.#idle;
    return reads < IDLE_SAMPLES && writes < IDLE_SAMPLES ? 2 : 1;
  }

  sample(ms: number): Sample {
    const before = this.#before;
    const { seen, fastestMs } = this.#look();
    this.#before = seen;
    const blocks = seen.blocks - before.blocks;
    const readBlocks = seen.readBlocks - before.readBlocks;
    this.#idle.reads = readBlocks > 0 ? 0 : this.#idle.reads + 1;
    this.#idle.writes = blocks > readBlocks ? 0 : this.#idle.writes + 1;
    const bytes = seen.bytes - before.bytes;
    const latencyMs = seen.latencyMs - before.latencyMs;
    const others = this.#others(before, seen);
    const pressure = pressureOfOthers(before, seen, ms, latencyMs);
    return {
      ...{ ms, bytes, blocks, latencyMs, fastestMs },
      latencyMs2: seen.latencyMs2 - before.latencyMs2,
      blockBytes: blocks > 0 ? bytes / blocks : 0,
      ...(this.link && { link: true }),
      ...(others && { others }),
      ...(pressure !== undefined && { pressure }),
    };
  }

  #look(): { readonly seen: Seen; readonly fastestMs: number } {
    const { proc } = this.#folders;
    const reads = readMeter(this.#levels.reads);
    const writes = readMeter(this.#levels.writes);
    const device = this.#statistics === undefined ? undefined : parseDeviceStat(textOf(this.#statistics) ?? '');
    const seen: Seen = {
      bytes: reads.bytes + writes.bytes,
      blocks: reads.blocks + writes.blocks,
      latencyMs: reads.latencyMs + writes.latencyMs,
      latencyMs2: reads.latencyMs2 + writes.latencyMs2,
      readBytes: reads.bytes,
      readBlocks: reads.blocks,
      requests: device && device.reads + device.writes,
      deviceBytes: device ? device.readBytes + device.writtenBytes : 0,
      ownRead: parseOwnRead(textOf(join(proc, 'self/io')) ?? ''),
      stalledUs: pressureIn(this.#pressure),
      ownStalledUs: pressureIn(this.#ownPressure),
    };
    const fastest = [reads.fastestMs, writes.fastestMs].filter((ms) => ms > 0);
    return { seen, fastestMs: fastest.length > 0 ? Math.min(...fastest) : 0 };
  }

  /** Each of our blocks is one request, since nothing reads ahead, and what we write goes out block by block. */
  #others(before: Seen, now: Seen): Others | undefined {
    if (before.requests === undefined || now.requests === undefined) return undefined;
    const cached = cachedShare(before, now);
    const uncached = (all: number, reads: number): number => all - cached * reads;
    const ownBlocks = uncached(now.blocks - before.blocks, now.readBlocks - before.readBlocks);
    const ownBytes = uncached(now.bytes - before.bytes, now.readBytes - before.readBytes);
    const requests = now.requests - before.requests - ownBlocks;
    this.#foreign.push({ requests, bytes: now.deviceBytes - before.deviceBytes - ownBytes });
    if (this.#foreign.length > MIDDLE_OF) this.#foreign.shift();
    return {
      requests: Math.max(0, middle(this.#foreign.map((sample) => sample.requests))),
      bytes: Math.max(0, middle(this.#foreign.map((sample) => sample.bytes))),
    };
  }
}

function middle(values: readonly number[]): number {
  return values.length < MIDDLE_OF ? 0 : (values.toSorted((one, other) => one - other)[MIDDLE_OF >> 1] as number);
}

function pressureIn(path: string | undefined): number | undefined {
  return path === undefined ? undefined : parsePressure(textOf(path) ?? '');
}

/** Of what we read: what came from the page cache, and not from the device. */
function cachedShare(before: Seen, now: Seen): number {
  const read = now.readBytes - before.readBytes;
  if (before.ownRead === undefined || now.ownRead === undefined || read <= 0) return 0;
  return Math.max(0, Math.min(1, 1 - (now.ownRead - before.ownRead) / read));
}

/** At least: while we are stalled ourselves, the others that are stalled too do not show. */
function pressureOfOthers(before: Seen, now: Seen, ms: number, latencyMs: number): number | undefined {
  if (before.stalledUs === undefined || now.stalledUs === undefined) return undefined;
  const exact = before.ownStalledUs !== undefined && now.ownStalledUs !== undefined;
  const ownMs = exact ? ((now.ownStalledUs ?? 0) - (before.ownStalledUs ?? 0)) / 1000 : Math.min(ms, latencyMs);
  return Math.max(0, Math.min(1, ((now.stalledUs - before.stalledUs) / 1000 - ownMs) / Math.max(1, ms)));
}
