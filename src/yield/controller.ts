/**
 * Watches one storage or link, and sets how fast those may go who share it: ten times a second it takes a sample, asks
 * the law, and writes the rate where all threads see it. It runs while somebody uses it.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { newPaceLevel, setPaceLevel, setPaceShape } from '../core/pace-level.js';
import { formatRate } from '../core/units.js';
import { FIRST, type Goal, type LawState, type Ruling, rule, type Sample, type Why } from './control-law.js';

/** What we move there, measured by those who do. */
export interface OwnLevels {
  readonly reads: SharedArrayBuffer;
  readonly writes: SharedArrayBuffer;
}

/** What it looks at; so that tests can tell it anything. */
export interface Watched {
  readonly name: string;
  /** No device: only the delay of our own blocks is known. */
  readonly link: boolean;
  readonly seesOthers: boolean;
  readonly seesPressure: boolean;
  /** How many ways our bytes go: 2 for those that are read and written there. */
  readonly flows: number;
  sample(ms: number): Sample;
}

/** Short against the second in which it has to give way, long against a block. */
const SAMPLE_MS = 100;
/** While it gives way, a late timer is made good for so long only, or blocks would come in bunches. */
const BURST_MS = 10;

export class YieldController {
  readonly levels: OwnLevels;
  readonly #watched: Watched;
  readonly #goal: Goal;
  readonly #clock: Clock;
  #users = 0;
  #stop: AbortController | undefined;
  #state: LawState = FIRST;
  #ruling: Ruling | undefined;

  constructor(parts: {
    readonly levels: OwnLevels;
    readonly watched: Watched;
    readonly goal: Goal;
    readonly clock: Clock;
  }) {
    this.levels = parts.levels;
    this.#watched = parts.watched;
    this.#goal = parts.goal;
    this.#clock = parts.clock;
  }

  /** To be answered by one `release` each. */
  use(): void {
    if (++this.#users > 1) return;
    this.#stop = new AbortController();
    void this.#run(this.#stop.signal);
  }

  release(): void {
    if (--this.#users > 0) return;
    this.#stop?.abort();
    this.#hold(0, 0);
  }

  /** Bytes per second that it allows now; 0: no limit. */
  get rate(): number {
    return this.#ruling?.rateBytesPerSecond ?? 0;
  }

  get why(): Why {
    return this.#ruling?.why ?? 'alone';
  }

  /** A plain sentence: whom it makes way for, and how. Undefined: nobody. */
  get reason(): string | undefined {
    if (!this.#ruling || this.why === 'alone') return undefined;
    return reasonOf(this.#ruling, this.#watched, this.#goal);
  }

  /** What could be seen elsewhere and cannot be seen here, and what it goes by instead. */
  get notes(): readonly string[] {
    const { name, link, seesOthers, seesPressure } = this.#watched;
    if (link || seesOthers) return [];
    const pressure = seesPressure
      ? ', and by the I/O pressure that the kernel tells'
      : '; the kernel tells no pressure';
    return [
      `what others do at ${name} cannot be seen: no block device is known below it. ` +
        `It yields by how long its own blocks take${pressure}`,
    ];
  }

  async #run(signal: AbortSignal): Promise<void> {
    let atMs = nowMs(this.#clock);
    while (!signal.aborted) {
      await this.#clock.sleep(SAMPLE_MS, signal);
      if (signal.aborted) return;
      const now = nowMs(this.#clock);
      this.#tick(this.#watched.sample(now - atMs));
      atMs = now;
    }
  }

  #tick(sample: Sample): void {
    const ruling = rule(this.#state, sample, this.#goal);
    this.#state = ruling.state;
    this.#ruling = ruling;
    this.#hold(ruling.rateBytesPerSecond, ruling.blockBytesMax);
  }

  #hold(rate: number, blockBytesMax: number): void {
    const { reads, writes } = this.levels;
    const shape = { blockBytesMax, burstMs: rate > 0 ? BURST_MS : 0 };
    for (const level of [reads, writes]) {
      setPaceShape(level, shape);
      setPaceLevel(level, rate / this.#watched.flows);
    }
  }
}

export function newOwnLevels(link = false): OwnLevels {
  return {
    reads: newPaceLevel(0, link ? 'linkPressure' : 'sourcePressure', 'reads'),
    writes: newPaceLevel(0, link ? 'linkPressure' : 'targetPressure', 'writes'),
  };
}

function reasonOf({ why, rateBytesPerSecond, state }: Ruling, { name, link, seesOthers }: Watched, goal: Goal): string {
  const rate = formatRate(rateBytesPerSecond);
  const manner = typeof goal === 'string' ? goal : `latency under ${goal.latencyMs} ms`;
  const requests = `${Math.round(state.othersRequests)} requests a second`;
  if (why === 'returns') return `${name} is free again: back to full speed, ${rate} now`;
  if (why === 'waits') {
    const wait = `${state.waitMs.toFixed(1)} ms`;
    const who = seesOthers ? ` while others use it (${requests})` : '';
    return `requests wait ${wait} at ${name}${who}: it gives way (${manner}), ${rate} now`;
  }
  if (!seesOthers)
    return `${name} is taken up to where requests ${link ? 'come late' : 'wait'} (${manner}): ${rate} now`;
  return `others use ${name} (${requests}, ${formatRate(state.othersBytes)}): it yields (${manner}), ${rate} now`;
}
