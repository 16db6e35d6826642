/**
 * A disk with a ceiling, and what is done to it: we, at a rate or as fast as it goes, and a neighbour who reads 4 KiB,
 * thinks for 5 ms, and reads again. Requests queue in one line; time passes in steps of a millisecond.
 */
import type { Sample } from '../../src/yield/control-law.js';
import type { Seeded } from './seeded.js';

const STEP_MS = 1;
const LANES = 4;
const THINK_MS = 5;
const NEIGHBOUR_BYTES = 4096;

export interface ModelDisk {
  readonly ceiling: number;
  readonly seeded: Seeded;
  /** Of a request on an idle disk. */
  readonly baseMs?: number;
}

export class DiskModel {
  readonly waits: number[] = [];
  readonly #disk: ModelDisk;
  /** Milliseconds of work that lie in the line. */
  #backlogMs = 0;
  #credit = 0;
  #thinkMs = 0;
  /** Of our blocks in the line: when each is done, from now. */
  #ours: number[] = [];

  constructor(disk: ModelDisk) {
    this.#disk = disk;
  }

  /** `neighbours`: who read now, each by itself. */
  run(ms: number, rate: number, blockBytes: number, neighbours: number): Sample {
    const { ceiling, seeded, baseMs = 0.15 } = this.#disk;
    const sample = { ms, bytes: 0, blocks: 0, blockBytes, latencyMs: 0, latencyMs2: 0, fastestMs: Infinity };
    const others = { requests: 0, bytes: 0 };
    for (let at = 0; at < ms; at += STEP_MS) {
      this.#backlogMs = Math.max(0, this.#backlogMs - STEP_MS);
      this.#ours = this.#ours.map((left) => left - STEP_MS).filter((left) => left > 0);
      this.#credit = Math.min(this.#credit + (rate / 1000) * STEP_MS, Math.max(blockBytes, rate * 0.05));
      while (this.#ours.length < LANES && (rate === 0 || this.#credit >= blockBytes)) {
        if (rate > 0) this.#credit -= blockBytes;
        this.#backlogMs += (blockBytes / ceiling) * 1000;
        const took = baseMs * (0.8 + 0.4 * seeded.random()) + this.#backlogMs;
        this.#ours.push(this.#backlogMs);
        sample.bytes += blockBytes;
        sample.blocks++;
        sample.latencyMs += took;
        sample.latencyMs2 += took * took;
        sample.fastestMs = Math.min(sample.fastestMs, took);
      }
      this.#thinkMs -= STEP_MS;
      if (neighbours === 0 || this.#thinkMs > 0) continue;
      const wait = baseMs * (0.8 + 0.4 * seeded.random()) + this.#backlogMs;
      this.#backlogMs += (neighbours * NEIGHBOUR_BYTES * 1000) / ceiling;
      this.waits.push(wait);
      others.requests += neighbours;
      others.bytes += neighbours * NEIGHBOUR_BYTES;
      this.#thinkMs = THINK_MS + wait;
    }
    return { ...sample, others };
  }
}
