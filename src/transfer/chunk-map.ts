/**
 * What has become of each chunk, for people to look at: one byte a chunk, and a view of as many cells as a screen has.
 * Nothing decides by it; the plan, which decides, tells it each step.
 */

/**
 * to-do: nothing was done yet · copying: a worker reads, writes or proves it · written: at the target, not on record ·
 * recorded: flushed and in the journal · proven: hashed again at the target, on a resume or read back · zero: a hole,
 * or zeroes that were written as such · re-sent: finished, after an error or a mismatch had it sent again.
 */
export type ChunkState = 'to-do' | 'copying' | 'written' | 'recorded' | 'proven' | 'zero' | 're-sent';

/** From the least to the most advanced; the last is what a finished chunk shows that was sent more than once. */
export const CHUNK_STATES: readonly ChunkState[] = [
  'to-do',
  'copying',
  'written',
  'recorded',
  'proven',
  'zero',
  're-sent',
];

/** What has become of the chunks of a copy. */
export interface ChunkMapView {
  /** All of them; `counts` says how many are in which state. */
  readonly chunks: number;
  readonly counts: Readonly<Record<ChunkState, number>>;
  /**
   * As many as were asked for, but no more than there are chunks. Each stands for a run of chunks: `copying` where one
   * of them is being copied, or else the least advanced, so that no cell looks further than its last chunk is; a
   * finished cell is `re-sent` as soon as one of its chunks was, since that one is what people look for.
   */
  readonly cells: readonly ChunkState[];
}

const TO_DO = 0;
const COPYING = 1;
const WRITTEN = 2;
const RECORDED = 3;
const PROVEN = 4;
const ZERO = 5;
const RE_SENT = 6;
/** What a chunk that is being copied will be once it is done. */
const PROVING = 0x10;
const ZEROING = 0x20;
const SENT_BEFORE = 0x40;
const STATE = 0x0f;

export class ChunkMap {
  readonly #chunks: Uint8Array;

  constructor(chunks: number) {
    this.#chunks = new Uint8Array(chunks);
  }

  /** On record from an earlier run, and not proven yet. */
  claimed(chunk: number): void {
    this.#chunks[chunk] = RECORDED;
  }

  zero(chunk: number): void {
    this.#chunks[chunk] = ZERO;
  }

  /** A worker gets it. */
  started(chunk: number, work: 'copy' | 'zero' | 'prove' | 'read-back'): void {
    const goal = work === 'zero' ? ZEROING : work === 'copy' ? 0 : PROVING;
    this.#chunks[chunk] = ((this.#chunks[chunk] as number) & SENT_BEFORE) | COPYING | goal;
  }

  written(chunk: number): void {
    const before = this.#chunks[chunk] as number;
    this.#chunks[chunk] = (before & SENT_BEFORE) | (before & ZEROING ? ZERO : WRITTEN);
  }

  /** On record, or, where it was a proof that went on, proven. */
  settled(chunk: number): void {
    const before = this.#chunks[chunk] as number;
    if ((before & STATE) === ZERO) return;
    this.#chunks[chunk] = (before & SENT_BEFORE) | (before & PROVING ? PROVEN : RECORDED);
  }

  /** An error or a mismatch has it sent again. */
  again(chunk: number): void {
    this.#chunks[chunk] = TO_DO | SENT_BEFORE;
  }

  /** Sent again at once, by the same lane; a proof that is tried again sends nothing. */
  retried(chunk: number): void {
    const before = this.#chunks[chunk] as number;
    this.#chunks[chunk] = before & PROVING ? before : before | SENT_BEFORE;
  }

  /** One pass over all chunks: a millisecond or two for 5 TiB in chunks of 8 MiB. */
  view(cells: number): ChunkMapView {
    const all = this.#chunks;
    const shown = Math.max(1, Math.min(Math.floor(cells), all.length));
    const totals = new Uint32Array(CHUNK_STATES.length);
    const out: ChunkState[] = [];
    for (let cell = 0, from = 0; cell < shown && all.length > 0; cell++) {
      const to = Math.floor(((cell + 1) * all.length) / shown);
      const inCell = countStates(all.subarray(from, to));
      out.push(stateOf(inCell));
      for (const [state, count] of inCell.entries()) totals[state] = (totals[state] as number) + count;
      from = to;
    }
    const counts = Object.fromEntries(CHUNK_STATES.map((state, at) => [state, totals[at]]));
    return { chunks: all.length, counts: counts as Record<ChunkState, number>, cells: out };
  }
}

/** Counts the bytes first and looks at what they mean afterwards: 5 TiB have many chunks and few different bytes. */
function countStates(chunks: Uint8Array): Uint32Array {
  const bytes = new Uint32Array(SENT_BEFORE * 2);
  for (let at = 0; at < chunks.length; at++) {
    const byte = chunks[at] as number;
    bytes[byte] = (bytes[byte] as number) + 1;
  }
  const counts = new Uint32Array(CHUNK_STATES.length);
  for (const [byte, count] of bytes.entries()) {
    if (count === 0) continue;
    const state = byte & SENT_BEFORE && (byte & STATE) >= WRITTEN ? RE_SENT : byte & STATE;
    counts[state] = (counts[state] as number) + count;
  }
  return counts;
}

function stateOf(counts: Uint32Array): ChunkState {
  const has = (state: number): boolean => (counts[state] as number) > 0;
  const unfinished = has(COPYING) ? COPYING : has(TO_DO) ? TO_DO : undefined;
  const least = counts.findIndex((count) => count > 0);
  return CHUNK_STATES[unfinished ?? (has(RE_SENT) ? RE_SENT : least)] as ChunkState;
}
