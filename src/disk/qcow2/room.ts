/**
 * Room at the end of a qcow2 file for clusters to come (docs/interop/qcow2, "Host cluster management"). Room is counted
 * as used, durably, before anything is put there; what a crash leaves of it is used by nobody, so it is taken again.
 */
import { diskError } from '../disk-bytes.js';
import type { DiskFile } from '../image-writer.js';
import type { Qcow2Header } from './header.js';
import { blockCovers, REFCOUNT_TABLE_BYTES_MAX, refcountOf, setRefcount } from './refcounts.js';

const UNIT = 2 ** 32;

export class Room {
  readonly #file: DiskFile;
  readonly #header: Pick<Qcow2Header, 'clusterBytes' | 'refcountBits'>;
  readonly #covers: number;
  /** Places of the refcount blocks, 0 for none. */
  #blocks: Float64Array;
  #tableAt: number;
  /** The next cluster that is handed out, and the first one that is not. */
  #next: number;
  #end: number;

  /** @param blocks checked: aligned and inside the file  @param end the first cluster after all that are used */
  constructor(file: DiskFile, header: Qcow2Header, blocks: Float64Array, end: number) {
    this.#file = file;
    this.#header = header;
    this.#covers = blockCovers(header);
    this.#blocks = blocks;
    this.#tableAt = header.refcountsAt;
    this.#next = end;
    this.#end = end;
  }

  /** Durable when it returns. */
  reserve(clusters: number): void {
    if (clusters === 0) return;
    const start = this.#next;
    const { tableClusters, missing, end } = this.#planned(start, clusters);
    const { clusterBytes } = this.#header;
    this.#file.setSize(Math.max(this.#file.size, end * clusterBytes));
    const blocks = new Float64Array(Math.max(this.#blocks.length, (tableClusters * clusterBytes) / 8));
    blocks.set(this.#blocks);
    missing.forEach((index, at) => {
      blocks[index] = (start + tableClusters + at) * clusterBytes;
    });
    for (let index = Math.floor(start / this.#covers); index * this.#covers < end; index++) {
      const isNew = (this.#blocks[index] ?? 0) === 0;
      this.#count(blocks[index] ?? 0, index, { from: start, to: end }, 1, isNew);
    }
    this.#next = start + tableClusters + missing.length;
    this.#end = end;
    if (tableClusters > 0) this.#replaceTable(blocks, start * clusterBytes, tableClusters);
    else this.#addBlocks(blocks, missing);
  }

  /** A cluster that nobody uses, as a place in the file. What it holds is anything. */
  take(): number {
    if (this.#next >= this.#end) throw new Error('a cluster was placed that was not announced');
    return this.#next++ * this.#header.clusterBytes;
  }

  /** One reference less to each of these clusters; becomes durable with the next flush. */
  free(clusters: readonly number[]): void {
    const sorted = [...clusters].sort((a, b) => a - b);
    for (let from = 0; from < sorted.length; ) {
      const index = Math.floor((sorted[from] ?? 0) / this.#covers);
      let to = from;
      while (to < sorted.length && Math.floor((sorted[to] ?? 0) / this.#covers) === index) to++;
      this.#freeIn(index, sorted.slice(from, to));
      from = to;
    }
  }

  /** Gives back what was not taken, and whatever an earlier writer left after it; the file ends there. */
  release(): void {
    const { clusterBytes } = this.#header;
    const from = this.#next;
    const to = Math.max(this.#end, Math.ceil(this.#file.size / clusterBytes));
    for (let index = Math.floor(from / this.#covers); index * this.#covers < to; index++) {
      const at = this.#blocks[index] ?? 0;
      if (at > 0) this.#count(at, index, { from, to: (index + 1) * this.#covers }, 0, false);
    }
    this.#end = from;
    this.#file.flush();
    this.#file.setSize(from * clusterBytes);
  }

  /** New blocks and a longer table take room themselves, which may take more of them. */
  #planned(start: number, clusters: number): { tableClusters: number; missing: readonly number[]; end: number } {
    const { clusterBytes } = this.#header;
    for (let tableClusters = 0, blocks = 0; ; ) {
      const end = start + tableClusters + blocks + clusters;
      const lastBlock = Math.floor((end - 1) / this.#covers);
      const missing: number[] = [];
      for (let index = Math.floor(start / this.#covers); index <= lastBlock; index++) {
        if ((this.#blocks[index] ?? 0) === 0) missing.push(index);
      }
      const longer = lastBlock >= this.#blocks.length ? Math.ceil(((lastBlock + 1) * 8) / clusterBytes) : 0;
      if (longer * clusterBytes > REFCOUNT_TABLE_BYTES_MAX || !Number.isSafeInteger(end * clusterBytes)) {
        const found = `${end} clusters of ${clusterBytes} bytes`;
        throw diskError(this.#file.name, 'refcount table', this.#tableAt, 'a file that 8 MiB of it can count', found);
      }
      if (longer <= tableClusters && missing.length <= blocks) return { tableClusters, missing, end };
      tableClusters = Math.max(tableClusters, longer);
      blocks = Math.max(blocks, missing.length);
    }
  }

  /** Sets the refcounts of the clusters of a range that the block counts. */
  #count(at: number, index: number, range: { from: number; to: number }, value: number, isNew: boolean): void {
    const { clusterBytes, refcountBits } = this.#header;
    const block = isNew ? Buffer.alloc(clusterBytes) : this.#read(at);
    const first = index * this.#covers;
    const from = Math.max(range.from, first) - first;
    const to = Math.min(range.to, first + this.#covers) - first;
    for (let cluster = from; cluster < to; cluster++) setRefcount(block, cluster, refcountBits, value);
    this.#file.write(at, block);
  }

  #freeIn(index: number, clusters: readonly number[]): void {
    const at = this.#blocks[index] ?? 0;
    if (at === 0) return;
    const block = this.#read(at);
    for (const cluster of clusters) {
      const place = cluster - index * this.#covers;
      const count = refcountOf(block, place, this.#header.refcountBits);
      if (count > 0) setRefcount(block, place, this.#header.refcountBits, count - 1);
    }
    this.#file.write(at, block);
  }

  #read(at: number): Buffer {
    return this.#file.readNow({ offset: at, length: this.#header.clusterBytes }, 'refcount block');
  }

  /** The new blocks are durable before the table names them. */
  #addBlocks(blocks: Float64Array, missing: readonly number[]): void {
    this.#file.flush();
    this.#blocks = blocks;
    if (missing.length === 0) return;
    const entry = Buffer.alloc(8);
    for (const index of missing) {
      writeU64(entry, 0, blocks[index] ?? 0);
      this.#file.write(this.#tableAt + index * 8, entry);
    }
    this.#file.flush();
  }

  /** A longer table is durable before the header names it; both of its fields lie in one sector. */
  #replaceTable(blocks: Float64Array, at: number, tableClusters: number): void {
    const { clusterBytes } = this.#header;
    const table = Buffer.alloc(blocks.length * 8);
    blocks.forEach((block, index) => {
      writeU64(table, index * 8, block);
    });
    this.#file.write(at, table);
    this.#file.flush();
    const fields = Buffer.alloc(12);
    writeU64(fields, 0, at);
    fields.writeUInt32BE(tableClusters, 8);
    this.#file.write(48, fields);
    this.#file.flush();
    const [oldAt, oldClusters] = [this.#tableAt / clusterBytes, (this.#blocks.length * 8) / clusterBytes];
    this.#tableAt = at;
    this.#blocks = blocks;
    this.free(Array.from({ length: oldClusters }, (_, cluster) => oldAt + cluster));
  }
}

function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / UNIT), at);
  bytes.writeUInt32BE(value % UNIT, at + 4);
}
