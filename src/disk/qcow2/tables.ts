/**
 * The two levels of tables that map guest clusters (docs/interop/qcow2, "Cluster mapping"). The L1 table is read once,
 * into shared memory; L2 tables are read when they are asked for, neighbours in one go, and the last used are kept.
 */
import { MiB } from '../../core/units.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import { offsetOf } from './entries.js';
import { l1Needed, type Qcow2Header } from './header.js';

/** QEMU's bound; 4 Mi tables. */
export const L1_BYTES_MAX = 32 * MiB;
const READ_BYTES = 4 * MiB;
/** What one read of neighbouring L2 tables fetches. */
const AHEAD_BYTES = 1 * MiB;
/** Of all images that a thread has open; four threads keep 64 MiB. */
const CACHE_BYTES = 16 * MiB;

/** Places of the L2 tables, 0 for none: as many as the guest's bytes need. */
export async function readL1(bytes: DiskBytes, header: Qcow2Header): Promise<Float64Array<SharedArrayBuffer>> {
  const count = l1Needed(header);
  demandL1(header, count, bytes);
  const places = new Float64Array(new SharedArrayBuffer(count * 8));
  let tables = 0;
  for (let from = 0; from < count; from += READ_BYTES / 8) {
    const length = Math.min(READ_BYTES, (count - from) * 8);
    const part = await bytes.read({ offset: header.l1At + from * 8, length }, 'L1 table');
    for (let at = 0; at < length; at += 8) {
      const place = offsetOf(part.readUInt32BE(at), part.readUInt32BE(at + 4));
      places[from + at / 8] = place;
      if (place > 0) tables++;
    }
  }
  // Millions of entries that name one table would make a small file take for ever.
  const most = Math.ceil(bytes.size / header.clusterBytes);
  if (tables <= most) return places;
  const expected = `at most ${most} L2 tables, one for each cluster of the file`;
  throw diskError(bytes.name, 'L1 table', header.l1At, expected, String(tables));
}

function demandL1({ l1At, l1Entries, size }: Qcow2Header, needed: number, { name, size: fileBytes }: DiskBytes): void {
  const refuse = (what: string, at: number, expected: string, found: string): never => {
    throw diskError(name, what, at, expected, found);
  };
  if (needed * 8 > L1_BYTES_MAX) refuse('size', 24, 'an L1 table of at most 32 MiB', `a disk of ${size} bytes`);
  if (l1Entries < needed) refuse('L1 table size', 36, `at least ${needed} entries`, String(l1Entries));
  const inside = needed === 0 || (l1At > 0 && l1At <= fileBytes - needed * 8);
  if (!inside) refuse('L1 table', l1At, `${needed} entries inside the file of ${fileBytes} bytes`, 'its end before');
}

/** The tables that a thread used last, of all its images. */
export class TableCache {
  readonly #tables = new Map<string | number, Buffer>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(key: string | number): Buffer | undefined {
    const table = this.#tables.get(key);
    if (!table) return undefined;
    this.#tables.delete(key);
    this.#tables.set(key, table);
    return table;
  }

  set(key: string | number, table: Buffer): void {
    this.delete(key);
    this.#tables.set(key, table);
    this.#bytes += table.length;
    for (const [oldest] of this.#tables) {
      if (this.#bytes <= this.#bytesMax) break;
      this.delete(oldest);
    }
  }

  delete(key: string | number): void {
    this.#bytes -= this.#tables.get(key)?.length ?? 0;
    this.#tables.delete(key);
  }
}

const cache = new TableCache(CACHE_BYTES);
let images = 0;

export class L2Tables {
  readonly #bytes: DiskBytes;
  readonly #clusterBytes: number;
  readonly #places: Float64Array;
  readonly #image = images++;

  constructor(bytes: DiskBytes, { clusterBytes }: Pick<Qcow2Header, 'clusterBytes'>, places: Float64Array) {
    this.#bytes = bytes;
    this.#clusterBytes = clusterBytes;
    this.#places = places;
  }

  /** The first entry from one on, up to `last`, that has a table. */
  firstFrom(index: number, last: number): number {
    let at = index;
    while (at < last && this.#places[at] === 0) at++;
    return at;
  }

  /**
   * The table that an entry of the L1 table points to; undefined: none, all of its clusters are absent. Tables up to
   * `last`, which is not included, will be asked for next.
   */
  async table(index: number, last: number): Promise<Buffer | undefined> {
    const at = this.#places[index] ?? 0;
    if (at === 0) return undefined;
    const kept = cache.get(this.#key(index));
    if (kept) return kept;
    if (at % this.#clusterBytes !== 0) {
      const expected = `a multiple of the cluster of ${this.#clusterBytes} bytes`;
      throw diskError(this.#bytes.name, `L2 table ${index}`, at, expected, 'another place');
    }
    const count = this.#neighbours(index, last);
    const length = count * this.#clusterBytes;
    const read = await this.#bytes.read({ offset: at, length }, `L2 table ${index}`);
    for (let neighbour = count - 1; neighbour >= 0; neighbour--) {
      // A copy, since a part would keep all that was read with it.
      const table = Buffer.from(read.subarray(neighbour * this.#clusterBytes, (neighbour + 1) * this.#clusterBytes));
      cache.set(this.#key(index + neighbour), table);
    }
    return read.subarray(0, this.#clusterBytes);
  }

  /** How many tables stand one after the other in the file, from one on: all of them inside the file. */
  #neighbours(index: number, last: number): number {
    const first = this.#places[index] ?? 0;
    const most = Math.max(1, Math.floor(AHEAD_BYTES / this.#clusterBytes));
    let count = 1;
    while (count < most && index + count < last) {
      const at = first + count * this.#clusterBytes;
      if (this.#places[index + count] !== at || at > this.#bytes.size - this.#clusterBytes) break;
      count++;
    }
    return count;
  }

  #key(index: number): string {
    return `${this.#image}:${index}`;
  }
}
