/**
 * Reads a range of a chain, run by run. What stands in a container is read by the container's own reader, one for each
 * run however long it is; it answers at once where the container does, since a copy's speed hangs on that.
 */
import type { ByteRange } from '../core/chunk.js';
import type { ChunkReader } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import type { ChainRun, DiskChain } from './chain.js';
import { diskError } from './disk-bytes.js';

/** Runs may be as short as a sector: so many bytes of them are held at a time. */
const WINDOW_BYTES = 8 * MiB;

type OpenPlace = (link: number, place: ByteRange) => ChunkReader;

export class RunReader implements ChunkReader {
  readonly #chain: DiskChain;
  readonly #openPlace: OpenPlace;
  readonly #end: number;
  /** The next byte of which no run is known yet. */
  #ahead: number;
  #runs: ChainRun[] = [];
  #nextRun = 0;
  /** What is left of the run that is being read. */
  #left = 0;
  #fill: (into: Uint8Array) => number | Promise<number> = () => 0;
  #reader: ChunkReader | undefined;

  constructor(chain: DiskChain, { offset, length }: ByteRange, openPlace: OpenPlace) {
    this.#chain = chain;
    this.#openPlace = openPlace;
    this.#ahead = offset;
    this.#end = offset + length;
  }

  next(into: Uint8Array): number | Promise<number> {
    return this.#fillFrom(into, 0);
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }

  #fillFrom(into: Uint8Array, filled: number): number | Promise<number> {
    for (let done = filled; ; ) {
      if (done === into.length) return done;
      if (this.#left === 0 && !this.#beginRun()) {
        if (this.#ahead === this.#end) return done;
        return this.#look().then(() => this.#fillFrom(into, done));
      }
      const got = this.#fill(into.subarray(done, done + Math.min(this.#left, into.length - done)));
      if (typeof got !== 'number') return got.then((bytes) => this.#fillFrom(into, done + this.#took(bytes)));
      done += this.#took(got);
    }
  }

  #took(bytes: number): number {
    if (bytes === 0) throw new TransferError('E_BUG', 'a run of a disk image ended early');
    this.#left -= bytes;
    return bytes;
  }

  /** False: the next runs are not known yet. */
  #beginRun(): boolean {
    this.close();
    const run = this.#runs[this.#nextRun++];
    if (!run) return false;
    this.#left = run.length;
    if (run.kind === 'data') {
      const reader = this.#openPlace(run.link, { offset: run.at, length: run.length });
      this.#reader = reader;
      this.#fill = (into) => reader.next(into);
    } else if (run.kind === 'zero') {
      this.#fill = (into) => into.fill(0).length;
    } else {
      this.#fill = fillMade(run);
    }
    return true;
  }

  async #look(): Promise<void> {
    const length = Math.min(WINDOW_BYTES, this.#end - this.#ahead);
    const runs: ChainRun[] = [];
    let covered = 0;
    for await (const run of this.#chain.runs({ offset: this.#ahead, length })) {
      covered += run.length;
      if (run.length === 0) continue;
      this.#assertInside(run);
      const joined = join(runs.at(-1), run);
      if (joined) runs[runs.length - 1] = joined;
      else runs.push(run);
    }
    if (covered !== length) throw new TransferError('E_BUG', `runs of ${covered} bytes were given for ${length}`);
    this.#runs = runs;
    this.#nextRun = 0;
    this.#ahead += length;
  }

  /** The formats look at what their files say; a mistake of theirs must not become one of the copy. */
  #assertInside(run: ChainRun): void {
    if (run.kind !== 'data') return;
    const bytes = this.#chain.links[run.link]?.bytes;
    if (bytes && run.at >= 0 && run.at <= bytes.size - run.length) return;
    throw diskError(bytes?.name ?? '', 'data', run.at, `${run.length} bytes inside the file`, `${bytes?.size} bytes`);
  }
}

/** Both as one run, where one goes on as the other ended. */
function join(one: ChainRun | undefined, other: ChainRun): ChainRun | undefined {
  const length = (one?.length ?? 0) + other.length;
  if (one?.kind === 'zero' && other.kind === 'zero') return { ...one, length };
  if (one?.kind !== 'data' || other.kind !== 'data') return undefined;
  return one.link === other.link && one.at + one.length === other.at ? { ...one, length } : undefined;
}

/** Made when it is read, once. */
function fillMade({ length, make }: ChainRun & { readonly kind: 'made' }): (into: Uint8Array) => Promise<number> {
  let made: Uint8Array | undefined;
  let at = 0;
  return async (into) => {
    made ??= await make();
    if (made.length !== length) throw new TransferError('E_BUG', `${made.length} bytes were made for ${length}`);
    into.set(made.subarray(at, at + into.length));
    at += into.length;
    return into.length;
  };
}
