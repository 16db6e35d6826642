/**
 * How fast earlier migrations between two ends were: what the next blackout is predicted from. Losing it costs nothing
 * but a worse prediction, so a damaged one is begun anew.
 */
import { join } from 'node:path';
import { assertPrivate, writePrivately } from '../platform/private-file.js';
import { ASSUMED_RATES, type Rates } from './predict.js';
import type { StepFacts, Took } from './step-records.js';

/** Of what was known before; the rest is what was measured now. */
const MEMORY = 0.5;
/** Less tells more of the fixed costs than of a rate. */
const BYTES_MIN = 1_000_000;
/** Of bases: less says how long a job takes to begin. */
const BASES_BYTES_MIN = 500_000_000;

export class RateBook {
  readonly #path: string;
  #pairs: Record<string, Rates>;

  constructor(migrations: string) {
    this.#path = join(migrations, 'rates.json');
    this.#pairs = readPairs(this.#path);
  }

  /** @param copied what the bases took: until more is known, the rest will be as fast */
  rates(from: string, to: string, copied?: Took): Rates {
    const known = this.#pairs[`${from} ${to}`];
    if (known || !copied || copied.bytes < BASES_BYTES_MIN || copied.ms <= 0) return known ?? ASSUMED_RATES;
    return { ...ASSUMED_RATES, copyBytesPerSecond: (copied.bytes / copied.ms) * 1000 };
  }

  /** @param memoryInUse bytes, as they were known before */
  learn(from: string, to: string, took: NonNullable<StepFacts['took']>, memoryInUse: number): void {
    const known = this.#pairs[`${from} ${to}`];
    const { save, copy, prove, load, other } = took;
    const before = known ?? ASSUMED_RATES;
    const rate = (one: typeof save, old: number): number =>
      one && one.bytes >= BYTES_MIN && one.ms > 0 ? mixed(known && old, (one.bytes / one.ms) * 1000) : old;
    const share = save && memoryInUse > 0 ? Math.min(1, save.bytes / memoryInUse) : before.savedShare;
    const rates = {
      saveBytesPerSecond: rate(save, before.saveBytesPerSecond),
      copyBytesPerSecond: rate(copy, before.copyBytesPerSecond),
      proveBytesPerSecond: rate(prove, before.proveBytesPerSecond),
      loadBytesPerSecond: rate(load, before.loadBytesPerSecond),
      savedShare: mixed(known?.savedShare, share),
      fixedMs: other ? mixed(known && before.fixedMs, fixed(took)) : before.fixedMs,
    };
    this.#pairs = { ...this.#pairs, [`${from} ${to}`]: rates };
    writePrivately(this.#path, `${JSON.stringify({ schema: 1, pairs: this.#pairs })}\n`);
  }
}

/** Where too little was moved for a rate, all of that time is a fixed cost. */
function fixed(took: NonNullable<StepFacts['took']>): number {
  const small = Object.values(took).filter(({ bytes }) => bytes < BYTES_MIN);
  return small.reduce((sum, { ms }) => sum + ms, 0);
}

function mixed(before: number | undefined, now: number): number {
  return before === undefined ? now : before * MEMORY + now * (1 - MEMORY);
}

function readPairs(path: string): Record<string, Rates> {
  const text = assertPrivate(path)?.toString('utf8');
  if (text === undefined) return {};
  try {
    const { schema, pairs } = JSON.parse(text) as { schema: number; pairs: Record<string, Rates> };
    const sound = Object.entries(pairs).filter(([, rates]) => Object.values(rates).every((rate) => rate > 0));
    return schema === 1 ? Object.fromEntries(sound) : {};
  } catch {
    // It is only experience.
    return {};
  }
}
