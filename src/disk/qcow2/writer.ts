/**
 * Writes into a qcow2 image in place, in the order of QEMU: a cluster is counted as used, durably, before a table
 * points to it, and its bytes are durable by then too; what is no longer pointed to is counted as free last. A crash
 * leaves clusters that nobody uses at worst, never a pointer to one that is not counted.
 */
import type { ByteRange } from '../../core/chunk.js';
import { MiB } from '../../core/units.js';
import { diskError } from '../disk-bytes.js';
import type { DiskFile, ImageWriter, Place } from '../image-writer.js';
import { unpackNow } from './compressed.js';
import { type Entry, entryBytes, offsetOf } from './entries.js';
import { l1Needed, l2Covers, parseHeader, type Qcow2Header, readFirstCluster } from './header.js';
import { Room } from './room.js';
import { checkedEntry, demandCluster, demandWritable, readBlocks, usedClusters } from './survey.js';
import { TableCache } from './tables.js';

const CACHE_BYTES = 16 * MiB;
const COPIED = 0x8000_0000;
const UNIT = 2 ** 32;

export async function openQcow2Writer(file: DiskFile): Promise<ImageWriter> {
  const header = parseHeader(await readFirstCluster(file), file.name);
  demandWritable(header, file.name);
  const blocks = await readBlocks(file, header);
  return new Qcow2Writer(file, header, new Room(file, header, blocks, await usedClusters(file, header, blocks)));
}

/** A part of one guest cluster. */
interface ClusterPart {
  readonly cluster: number;
  readonly skip: number;
  readonly length: number;
  /** All of it that a guest can see. */
  readonly whole: boolean;
}

class Qcow2Writer implements ImageWriter {
  readonly size: number;
  readonly unitBytes?: number;
  readonly #file: DiskFile;
  readonly #header: Qcow2Header;
  readonly #room: Room;
  readonly #l1: Buffer;
  readonly #tables = new TableCache(CACHE_BYTES);
  /** What clusters will be once it is published. */
  readonly #pending = new Map<number, Entry>();
  /** Clusters that lose a reference once it is published. */
  #unused: number[] = [];

  constructor(file: DiskFile, header: Qcow2Header, room: Room) {
    this.size = header.size;
    if (header.parent) this.unitBytes = header.clusterBytes;
    this.#file = file;
    this.#header = header;
    this.#room = room;
    const pieces: Buffer[] = [];
    const length = l1Needed(header) * 8;
    for (let at = 0; at < length; at += 4 * MiB) {
      pieces.push(file.readNow({ offset: header.l1At + at, length: Math.min(4 * MiB, length - at) }, 'L1 table'));
    }
    this.#l1 = Buffer.concat(pieces);
  }

  begin(ranges: Iterable<ByteRange>): void {
    if (this.#header.autoclear !== '0000000000000000') {
      // What other writers noted of the content will not hold any more ("autoclear_features").
      this.#file.write(88, Buffer.alloc(8));
      this.#file.flush();
    }
    let clusters = 0;
    let before = { index: -1, last: -1 };
    for (const range of ranges) {
      for (const { index, first, last } of this.#tableParts(range)) {
        // What two neighbouring ranges share is counted once.
        if (index !== before.index && !this.#tableIsOwn(index)) clusters++;
        clusters += this.#toTake(index, first === before.last ? first + 1 : first, last);
        before = { index, last };
      }
    }
    this.#room.reserve(clusters);
  }

  place(range: ByteRange, content: 'data' | 'zero'): Iterable<Place> {
    const places: { length: number; at?: number }[] = [];
    for (const part of this.#parts(range)) {
      const at = content === 'zero' ? this.#placeZero(part) : this.#placeData(part);
      const before = places.at(-1);
      const follows = before && (at === undefined ? before.at === undefined : before.at === at - before.length);
      if (before && follows) before.length += part.length;
      else places.push({ length: part.length, ...(at !== undefined && { at }) });
    }
    return places;
  }

  publish(): void {
    if (this.#pending.size === 0) return;
    const clusters = [...this.#pending.keys()].sort((a, b) => a - b);
    const newTables = new Map<number, number>();
    const perTable = this.#perTable();
    for (let from = 0; from < clusters.length; ) {
      const index = Math.floor((clusters[from] ?? 0) / perTable);
      let to = from;
      while (to < clusters.length && Math.floor((clusters[to] ?? 0) / perTable) === index) to++;
      const moved = this.#writeTable(index, clusters.slice(from, to));
      if (moved !== undefined) newTables.set(index, moved);
      from = to;
    }
    this.#file.flush();
    for (const [index, at] of newTables) this.#pointTo(index, at);
    if (newTables.size > 0) this.#file.flush();
    this.#room.free(this.#unused);
    this.#unused = [];
    this.#pending.clear();
  }

  finish(): void {
    this.#room.release();
    this.#file.flush();
  }

  /** Where bytes go: into the cluster that is there if nobody else uses it, and else into a new one. */
  #placeData(part: ClusterPart): number {
    const entry = this.#entry(part.cluster);
    if (entry.kind === 'data' && entry.copied) return entry.at + part.skip;
    const reused = entry.kind === 'zero' && entry.at > 0 && entry.copied;
    const at = reused ? entry.at : this.#room.take();
    this.#fillAround(at, part, entry);
    if (!reused) this.#drop(entry);
    this.#pending.set(part.cluster, { kind: 'data', at, bytes: 0, copied: true });
    return at + part.skip;
  }

  #placeZero(part: ClusterPart): number | undefined {
    const entry = this.#entry(part.cluster);
    const isZero = entry.kind === 'zero' || (entry.kind === 'absent' && !this.#header.parent);
    if (isZero) return undefined;
    if (this.#header.version === 2 || !part.whole) return this.#placeData(part);
    this.#drop(entry);
    this.#pending.set(part.cluster, { kind: 'zero', at: 0, bytes: 0, copied: false });
    return undefined;
  }

  /** The rest of a cluster keeps what it is; past the disk's end it is zero. */
  #fillAround(at: number, { cluster, skip, length, whole }: ClusterPart, entry: Entry): void {
    const { clusterBytes } = this.#header;
    if (length === clusterBytes) return;
    if (!whole && entry.kind === 'absent' && this.#header.parent) {
      const expected = `whole clusters of ${clusterBytes} bytes, since the rest of one is its parent's`;
      throw diskError(this.#file.name, 'guest cluster', cluster * clusterBytes, expected, `${length} bytes of one`);
    }
    const old = whole ? Buffer.alloc(clusterBytes) : this.#oldBytes(entry);
    if (skip > 0) this.#file.write(at, old.subarray(0, skip));
    const end = skip + length;
    if (end < clusterBytes) this.#file.write(at + end, old.subarray(end));
  }

  #oldBytes(entry: Entry): Uint8Array {
    const { clusterBytes } = this.#header;
    if (entry.kind === 'zero' || entry.kind === 'absent') return Buffer.alloc(clusterBytes);
    const most = entry.kind === 'compressed' ? entry.bytes : clusterBytes;
    const range = { offset: entry.at, length: Math.min(most, this.#file.size - entry.at) };
    const bytes = this.#file.readNow(range, 'cluster');
    if (entry.kind === 'compressed') return unpackNow(bytes, entry, this.#header, this.#file.name);
    return Buffer.concat([bytes], clusterBytes);
  }

  #drop({ kind, at, bytes }: Entry): void {
    if (at === 0) return;
    const { clusterBytes } = this.#header;
    const last = Math.floor((at + (kind === 'compressed' ? bytes : clusterBytes) - 1) / clusterBytes);
    for (let cluster = Math.floor(at / clusterBytes); cluster <= last; cluster++) this.#unused.push(cluster);
  }

  #entry(cluster: number): Entry {
    const pending = this.#pending.get(cluster);
    if (pending) return pending;
    const table = this.#table(Math.floor(cluster / this.#perTable()));
    if (!table) return { kind: 'absent', at: 0, bytes: 0, copied: false };
    return checkedEntry(table, cluster % this.#perTable(), this.#header, this.#file);
  }

  #table(index: number): Buffer | undefined {
    const at = offsetOf(this.#l1.readUInt32BE(index * 8), this.#l1.readUInt32BE(index * 8 + 4));
    if (at === 0) return undefined;
    const kept = this.#tables.get(index);
    if (kept) return kept;
    demandCluster(at, this.#file, this.#header, `L2 table ${index}`);
    const table = this.#file.readNow({ offset: at, length: this.#header.clusterBytes }, `L2 table ${index}`);
    this.#tables.set(index, table);
    return table;
  }

  /** It is there, and nobody else uses it. */
  #tableIsOwn(index: number): boolean {
    const high = this.#l1.readUInt32BE(index * 8);
    return high >= COPIED && offsetOf(high, this.#l1.readUInt32BE(index * 8 + 4)) > 0;
  }

  /** Clusters from `first` to `last` that bytes could not be written to where they are. */
  #toTake(index: number, first: number, last: number): number {
    if (first > last) return 0;
    if (!this.#table(index)) return last - first + 1;
    let count = 0;
    for (let cluster = first; cluster <= last; cluster++) {
      const { kind, at, copied } = this.#entry(cluster);
      if (kind === 'compressed' || at === 0 || !copied) count++;
    }
    return count;
  }

  /** Writes a table with its pending entries. Answers its new place, if it got one. */
  #writeTable(index: number, clusters: readonly number[]): number | undefined {
    const old = this.#table(index);
    const at = offsetOf(this.#l1.readUInt32BE(index * 8), this.#l1.readUInt32BE(index * 8 + 4));
    const isOwn = this.#tableIsOwn(index);
    const table = old ?? Buffer.alloc(this.#header.clusterBytes);
    const size = entryBytes(this.#header);
    for (const cluster of clusters) {
      const entry = this.#pending.get(cluster);
      if (entry) writeEntry(table, (cluster % this.#perTable()) * size, entry);
    }
    this.#tables.set(index, table);
    if (!isOwn) {
      const place = this.#room.take();
      this.#file.write(place, table);
      if (at > 0) this.#unused.push(at / this.#header.clusterBytes);
      return place;
    }
    const from = ((clusters[0] ?? 0) % this.#perTable()) * size;
    const to = (((clusters.at(-1) ?? 0) % this.#perTable()) + 1) * size;
    this.#file.write(at + from, table.subarray(from, to));
    return undefined;
  }

  #pointTo(index: number, at: number): void {
    this.#l1.writeUInt32BE(COPIED + Math.floor(at / UNIT), index * 8);
    this.#l1.writeUInt32BE(at % UNIT, index * 8 + 4);
    this.#file.write(this.#header.l1At + index * 8, this.#l1.subarray(index * 8, index * 8 + 8));
  }

  #perTable(): number {
    return this.#header.clusterBytes / entryBytes(this.#header);
  }

  *#tableParts(range: ByteRange): Generator<{ index: number; first: number; last: number }> {
    this.#demandInside(range);
    const covered = l2Covers(this.#header);
    const lastCluster = Math.floor((range.offset + range.length - 1) / this.#header.clusterBytes);
    for (let index = Math.floor(range.offset / covered); index * covered < range.offset + range.length; index++) {
      const first = Math.max(index * this.#perTable(), Math.floor(range.offset / this.#header.clusterBytes));
      yield { index, first, last: Math.min((index + 1) * this.#perTable() - 1, lastCluster) };
    }
  }

  *#parts(range: ByteRange): Generator<ClusterPart> {
    this.#demandInside(range);
    const { clusterBytes, size } = this.#header;
    const end = range.offset + range.length;
    for (let at = range.offset; at < end; ) {
      const cluster = Math.floor(at / clusterBytes);
      const start = cluster * clusterBytes;
      const seen = Math.min(clusterBytes, size - start);
      const skip = at - start;
      const length = Math.min(seen, end - start) - skip;
      yield { cluster, skip, length, whole: length === seen };
      at += length;
    }
  }

  #demandInside({ offset, length }: ByteRange): void {
    if (offset >= 0 && length >= 0 && offset <= this.size - length) return;
    const expected = `a range inside the disk of ${this.size} bytes`;
    throw diskError(this.#file.name, 'guest bytes', offset, expected, `${length} bytes`);
  }
}

function writeEntry(table: Buffer, at: number, entry: Entry): void {
  const high = Math.floor(entry.at / UNIT) + (entry.copied ? COPIED : 0);
  table.writeUInt32BE(high, at);
  table.writeUInt32BE((entry.at % UNIT) + (entry.kind === 'zero' ? 1 : 0), at + 4);
}
