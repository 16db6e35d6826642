/**
 * What is still to be done, chunk by chunk: the one place that decides between copying, proving, zeroing and nothing. A
 * typed array and a cursor, so that 5 TiB in 655,360 chunks costs as much thought as memory: little.
 */
import type { ChunkGrid } from '../core/chunk.js';
import { KiB } from '../core/units.js';
import { CLAIM } from '../journal/journal.js';
import { ChunkMap } from './chunk-map.js';
import { type ChunkWork, MAP } from './requests.js';

/** todo.* → active → written (finished, not yet journalled) → settled. */
const STATE = { copy: 0, prove: 1, zero: 2, active: 3, written: 4, settled: 5, held: 6 } as const;

/** A source with holes: as fine as file systems have them. Any other: only what is worth a hole. */
const KNOWN_HOLE_BYTES = 4 * KiB;
const GUESSED_HOLE_BYTES = 64 * KiB;

export interface PlanFacts {
  /** What the source says of each chunk (MAP); absent: everything may be data, and zeroes are looked for. */
  readonly sourceMap?: Uint8Array | undefined;
  /** What the source calls data may be zero all the same: an image has blocks that were never written to. */
  readonly zeroInData?: boolean;
  /** What the target's partial data says of each chunk; absent: not known. */
  readonly targetMap?: Uint8Array | undefined;
  /** CLAIM of each chunk, from the journal; absent: a new job. */
  readonly claims?: Uint8Array | undefined;
  /** A chunk that was never issued reads as zero at the target. */
  readonly zeroed: boolean;
  /** The target takes only whole chunks: zeroes are copied like all else. */
  readonly wholeChunks?: boolean | undefined;
  /** Keep the first and the last chunk back until everything else is durable; one on record may stay as it is. */
  readonly endsLast: boolean;
}

export interface PlanEntry {
  readonly chunk: number;
  readonly work: Exclude<ChunkWork, 'read-back'>;
  /** Leave holes for runs of zeroes that fill pieces of so many bytes; 0: write everything. */
  readonly sparseBytes: number;
  /** The target reads as zero here. */
  readonly knownZero: boolean;
}

export class Plan {
  readonly grid: ChunkGrid;
  /** What people see of all this. */
  readonly map: ChunkMap;
  readonly #facts: PlanFacts;
  readonly #states: Uint8Array;
  /** Chunks that were issued once: their bytes at the target may be anything. */
  readonly #touched: Uint8Array;
  readonly #returned: number[] = [];
  #cursor = 0;
  #unsettled = 0;

  constructor(grid: ChunkGrid, facts: PlanFacts) {
    this.grid = grid;
    this.map = new ChunkMap(grid.count);
    this.#facts = facts;
    this.#states = new Uint8Array(grid.count);
    this.#touched = new Uint8Array(grid.count);
    for (let chunk = 0; chunk < grid.count; chunk++) {
      const state = this.#firstState(chunk);
      this.#states[chunk] = state;
      if (state !== STATE.settled) this.#unsettled++;
      else this.map.zero(chunk);
      if (state === STATE.prove) this.map.claimed(chunk);
    }
  }

  #firstState(chunk: number): number {
    const { claims, sourceMap } = this.#facts;
    const claim = claims?.[chunk] ?? CLAIM.none;
    if (claim === CLAIM.chunk) return STATE.prove;
    if (this.#facts.wholeChunks) return STATE.copy;
    // A source that has data here now was never zero: it is the same version.
    const refuted = sourceMap !== undefined && sourceMap[chunk] !== MAP.zero;
    const zero = !refuted && (claim === CLAIM.zero || sourceMap?.[chunk] === MAP.zero);
    if (!zero) return STATE.copy;
    if (this.#readsZero(chunk)) return STATE.settled;
    return claim === CLAIM.zero ? STATE.prove : STATE.zero;
  }

  /** Whether the target is known to read as zero in all of the chunk. */
  #readsZero(chunk: number): boolean {
    if (this.#touched[chunk]) return false;
    return this.#facts.zeroed || this.#facts.targetMap?.[chunk] === MAP.zero;
  }

  get #ends(): readonly number[] {
    return this.grid.count > 1 ? [0, this.grid.count - 1] : [0];
  }

  /** Whether the chunk may not be written yet, because others are not on record. */
  #mustWait(chunk: number): boolean {
    const ends = this.#ends;
    if (!this.#facts.endsLast || !ends.includes(chunk) || this.#states[chunk] === STATE.prove) return false;
    return this.#unsettled > ends.filter((end) => this.#states[end] !== STATE.settled).length;
  }

  /** Lets the chunks that were kept back be taken, once they are all that is left. */
  releaseHeld(): void {
    const held = this.#ends.filter((chunk) => this.#states[chunk] === STATE.held);
    if (held.length === this.#unsettled) for (const chunk of held) this.#letGo(chunk);
  }

  /** The next chunk to work on, which is then active; undefined when there is none to start now. */
  next(): PlanEntry | undefined {
    const chunk = this.#nextAllowed();
    if (chunk === undefined) return undefined;
    const state = this.#states[chunk];
    const entry: PlanEntry = {
      chunk,
      work: state === STATE.prove ? 'prove' : state === STATE.zero ? 'zero' : 'copy',
      sparseBytes: this.#sparseBytes(chunk),
      knownZero: this.#readsZero(chunk),
    };
    this.#states[chunk] = STATE.active;
    this.map.started(chunk, entry.work);
    if (entry.work !== 'prove') this.#touched[chunk] = 1;
    return entry;
  }

  #sparseBytes(chunk: number): number {
    const { sourceMap, zeroInData = false, wholeChunks } = this.#facts;
    if (wholeChunks) return 0;
    const kind = sourceMap?.[chunk];
    if (kind === MAP.data) return zeroInData ? GUESSED_HOLE_BYTES : 0;
    return kind === undefined ? GUESSED_HOLE_BYTES : KNOWN_HOLE_BYTES;
  }

  #nextAllowed(): number | undefined {
    for (;;) {
      const chunk = this.#returned.pop() ?? this.#scan();
      if (chunk === undefined || !this.#mustWait(chunk)) return chunk;
      this.#states[chunk] = STATE.held;
    }
  }

  #scan(): number | undefined {
    while (this.#cursor < this.grid.count) {
      const chunk = this.#cursor++;
      if ((this.#states[chunk] as number) <= STATE.zero) return chunk;
    }
    return undefined;
  }

  /** The chunk is at the target, and will be settled when a checkpoint has recorded it. */
  written(chunk: number): void {
    this.#states[chunk] = STATE.written;
    this.map.written(chunk);
  }

  /** The chunk is at the target and on record. */
  settle(chunk: number): void {
    if (this.#states[chunk] !== STATE.settled) this.#unsettled--;
    this.#states[chunk] = STATE.settled;
    this.map.settled(chunk);
  }

  /** What is at the target for this chunk cannot be trusted: it is copied again. */
  giveBack(chunk: number): void {
    if (this.#states[chunk] === STATE.settled) this.#unsettled++;
    this.map.again(chunk);
    this.#letGo(chunk);
  }

  /** What is at the target and on record may be lost: it is proven again. Answers how many bytes that is. */
  doubtSettled(): number {
    let bytes = 0;
    this.#states.forEach((state, chunk) => {
      if (state !== STATE.settled || (!this.#touched[chunk] && this.#facts.claims?.[chunk] !== CLAIM.chunk)) return;
      this.#unsettled++;
      this.#states[chunk] = STATE.prove;
      this.#returned.push(chunk);
      bytes += this.grid.range(chunk).length;
    });
    return bytes;
  }

  #letGo(chunk: number): void {
    this.#touched[chunk] = 1;
    this.#states[chunk] = this.#isHole(chunk) ? STATE.zero : STATE.copy;
    this.#returned.push(chunk);
  }

  #isHole(chunk: number): boolean {
    return !this.#facts.wholeChunks && this.#facts.sourceMap?.[chunk] === MAP.zero;
  }

  isSettled(chunk: number): boolean {
    return this.#states[chunk] === STATE.settled;
  }

  /** Chunks that are not on record yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /**
   * Calls back for each chunk with its first work, or `settled` where nothing is to do: for sums and for zero records.
   */
  forEach(visit: (chunk: number, work: PlanEntry['work'] | 'settled') => void): void {
    const names = ['copy', 'prove', 'zero', 'settled', 'settled', 'settled'] as const;
    for (let chunk = 0; chunk < this.grid.count; chunk++) {
      const held = this.#isHole(chunk) ? 'zero' : 'copy';
      visit(chunk, names[this.#states[chunk] as number] ?? held);
    }
  }
}
