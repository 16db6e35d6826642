/**
 * Looks at every structure of a qcow2 image that a guest's bytes depend on: header, tables, refcounts, and that no two
 * things stand in one cluster. Compressed clusters are not unpacked, and internal snapshots are not followed.
 */
import { TransferError } from '../../core/errors.js';
import { UnsupportedImage, unsupported } from '../disk-bytes.js';
import type { DiskBytes, Finding, Findings } from '../image.js';
import { CLUSTERS_MAX, ClusterUse } from './cluster-use.js';
import { type Entry, entryAt, entryBytes, SUBCLUSTERS, subclusterKind } from './entries.js';
import { ownerOfMore } from './extensions.js';
import { l2Covers, parseHeader, type Qcow2Header, readFirstCluster } from './header.js';
import { blockCovers, REFCOUNT_TABLE_BYTES_MAX, readRefcountTable, refcountOf } from './refcounts.js';
import { assertSnapshots } from './snapshots.js';
import { L2Tables, readL1 } from './tables.js';

export async function checkQcow2(bytes: DiskBytes, found: Findings): Promise<void> {
  const take = takerOf(found);
  const header = await take('qcow2-header', async () => parseHeader(await readFirstCluster(bytes), bytes.name));
  if (!header) return;
  const places = await take('qcow2-l1-past-end', () => readL1(bytes, header));
  if (!places) return;
  await take('qcow2-snapshots', () => assertSnapshots(bytes, header));
  await new Check(bytes, header, found).run(places);
}

type Take = <T>(code: string, work: () => Promise<T>) => Promise<T | undefined>;

/** Does a piece of work; a wrong format becomes a finding, and what cannot be read stays an error. */
function takerOf(found: Findings): Take {
  return async (code, work) => {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_FORMAT') throw thrown;
      found.add(
        thrown instanceof UnsupportedImage ? unsupported(thrown) : { code, severity: 'wrong', message: thrown.message },
      );
      return undefined;
    }
  };
}

class Check {
  readonly #bytes: DiskBytes;
  readonly #header: Qcow2Header;
  readonly #found: Findings;
  readonly #take: Take;
  readonly #use: ClusterUse | undefined;

  constructor(bytes: DiskBytes, header: Qcow2Header, found: Findings) {
    this.#bytes = bytes;
    this.#header = header;
    this.#found = found;
    this.#take = takerOf(found);
    const clusters = Math.ceil(bytes.size / header.clusterBytes);
    this.#use = clusters <= CLUSTERS_MAX ? new ClusterUse(clusters) : undefined;
  }

  async run(places: Float64Array): Promise<void> {
    this.#marks();
    const { clusterBytes, l1At, l1Entries, refcountsAt, refcountClusters } = this.#header;
    this.#takeClusters(0, clusterBytes, 'the header');
    this.#takeClusters(l1At, l1Entries * 8, 'the L1 table');
    this.#takeClusters(refcountsAt, refcountClusters * clusterBytes, 'the refcount table');
    const blocks = await this.#blocks();
    const tables = new L2Tables(this.#bytes, this.#header, places);
    for (let index = 0; index < places.length; index++) {
      const at = places[index] ?? 0;
      if (at > 0 && this.#isWhole(at, 'qcow2-l2', `L2 table ${index}`)) await this.#l2Table(tables, index, at, places);
    }
    if (blocks && this.#use && !this.#header.dirty) await this.#refcounts(blocks, this.#use);
  }

  /** What the header itself says of the image's state. */
  #marks(): void {
    const { dirty, corrupt } = this.#header;
    if (dirty) {
      const message = 'the image was not closed, or is in use: what a guest reads is right, its refcounts may be wrong';
      this.#add('qcow2-dirty', 72, message, true);
    }
    if (corrupt) {
      this.#add(
        'qcow2-corrupt',
        72,
        'QEMU marked the image as corrupt: any of its structures may be wrong; see qemu-img check',
        true,
      );
    }
    if (!this.#use) {
      const message = 'the file has too many clusters to find out whether two things stand in one of them';
      this.#add('qcow2-overlaps-unchecked', 0, message, true);
    }
  }

  async #blocks(): Promise<Float64Array | undefined> {
    const { refcountClusters, clusterBytes, refcountsAt } = this.#header;
    if (refcountClusters * clusterBytes > REFCOUNT_TABLE_BYTES_MAX) {
      this.#add(
        'qcow2-refcount-table',
        56,
        `the refcount table has more than 8 MiB: ${refcountClusters} clusters`,
        true,
      );
      return undefined;
    }
    if (refcountsAt > this.#bytes.size - refcountClusters * clusterBytes) {
      this.#add('qcow2-refcount-table', refcountsAt, 'the refcount table is not whole in the file', true);
      return undefined;
    }
    const blocks = await this.#take('qcow2-refcount-table', () => readRefcountTable(this.#bytes, this.#header));
    blocks?.forEach((at, index) => {
      if (at > 0 && this.#isWhole(at, 'qcow2-refcount-block', `refcount block ${index}`, true)) {
        this.#takeClusters(at, clusterBytes, `refcount block ${index}`);
      }
    });
    return blocks;
  }

  async #l2Table(tables: L2Tables, index: number, at: number, places: Float64Array): Promise<void> {
    // A table that is used twice is told once: a file could name the same one millions of times.
    if (!this.#takeClusters(at, this.#header.clusterBytes, `L2 table ${index}`)) return;
    const table = await this.#take('qcow2-l2-past-end', () => tables.table(index, places.length));
    if (!table) return;
    const count = table.length / entryBytes(this.#header);
    for (let cluster = 0; cluster < count; cluster++) {
      const entry = entryAt(table, cluster, this.#header);
      if (entry.kind === 'absent' && !entry.problem) continue;
      const start = index * l2Covers(this.#header) + cluster * this.#header.clusterBytes;
      this.#entry(entry, start, at + cluster * entryBytes(this.#header));
      if (start < this.#header.size) this.#inFile(entry, start, table, cluster);
    }
  }

  /** @param start where its cluster begins for a guest  @param place of the entry itself */
  #entry({ kind, at, bytes, problem }: Entry, start: number, place: number): void {
    if (problem) {
      const { code, doubtful, expected, found } = problem;
      this.#add(code, place, `the entry of guest byte ${start}: expected ${expected}, found ${found}`, doubtful);
      if (!doubtful) return;
    }
    if (at === 0 || at >= this.#bytes.size) return;
    const compressed = kind === 'compressed';
    const length = compressed ? bytes : this.#header.clusterBytes;
    this.#takeClusters(at, length, start, compressed);
  }

  /** Whether all that a guest can see of a cluster is in the file. */
  #inFile({ kind, at }: Entry, start: number, table: Buffer, index: number): void {
    const fileBytes = this.#bytes.size;
    if (kind === 'zero' || kind === 'absent' || at === 0) return;
    const { clusterBytes, size } = this.#header;
    // Where compressed bytes end is known only by unpacking them, so one of them is asked for.
    let needed = kind === 'compressed' ? 1 : clusterBytes;
    if (kind === 'parted') {
      const last = lastData(table, index);
      needed = ((last + 1) * clusterBytes) / SUBCLUSTERS;
    }
    needed = Math.min(needed, size - start);
    if (at <= fileBytes - needed) return;
    const message = `the cluster of guest byte ${start} stands at byte ${at}, past the end of the file`;
    this.#add('qcow2-truncated', at, `${message} of ${fileBytes} bytes`);
  }

  async #refcounts(blocks: Float64Array, use: ClusterUse): Promise<void> {
    const covers = blockCovers(this.#header);
    const { clusterBytes, refcountBits } = this.#header;
    for (let index = 0; index * covers < use.clusters; index++) {
      const at = blocks[index] ?? 0;
      const there = at > 0 && at % clusterBytes === 0 && at <= this.#bytes.size - clusterBytes;
      const block = there ? await this.#bytes.read({ offset: at, length: clusterBytes }, 'refcount block') : undefined;
      const low = new Tally();
      const leaked = new Tally();
      for (let cluster = index * covers; cluster < Math.min((index + 1) * covers, use.clusters); cluster++) {
        const isCounted = block !== undefined && refcountOf(block, cluster % covers, refcountBits) > 0;
        if (isCounted !== use.isUsed(cluster)) (isCounted ? leaked : low).add(cluster);
      }
      this.#tell(
        low,
        'qcow2-refcount-low',
        'are used and have a refcount of 0: a write may take them for something else',
      );
      if (this.#seesAll()) this.#tell(leaked, 'qcow2-leaked', 'have a refcount and nothing points to them');
    }
  }

  #tell({ first, count }: Tally, code: string, what: string): void {
    if (count > 0) this.#add(code, first * this.#header.clusterBytes, `${count} clusters ${what}`, true);
  }

  /** Snapshots and the data of extensions have clusters too, and are not looked at. */
  #seesAll(): boolean {
    return this.#header.snapshots === 0 && ownerOfMore(this.#header) === undefined;
  }

  /** A structure of one cluster: aligned, and inside the file. */
  #isWhole(at: number, code: string, what: string, doubtful = false): boolean {
    const { clusterBytes } = this.#header;
    if (at % clusterBytes !== 0) {
      this.#add(`${code}-misaligned`, at, `${what} stands at byte ${at}, no multiple of ${clusterBytes}`, doubtful);
    } else if (at > this.#bytes.size - clusterBytes) {
      this.#add(`${code}-past-end`, at, `${what} stands at byte ${at}, past the end of the file`, doubtful);
    } else return true;
    return false;
  }

  /**
   * Answers whether nothing else stands there.
   * @param owner what does, in words; for a cluster of the guest: where it begins for a guest
   */
  #takeClusters(at: number, length: number, owner: string | number, compressed = false): boolean {
    if (!this.#use || length === 0) return true;
    let isFree = true;
    const { clusterBytes } = this.#header;
    const last = Math.min(Math.floor((at + length - 1) / clusterBytes), this.#use.clusters - 1);
    for (let cluster = Math.floor(at / clusterBytes); cluster <= last; cluster++) {
      if (this.#use.take(cluster, compressed)) continue;
      const what = typeof owner === 'string' ? owner : `the cluster of guest byte ${owner}`;
      const offset = cluster * clusterBytes;
      const message = `${what} stands in the cluster at byte ${offset}, which is used for something else too`;
      this.#add('qcow2-clusters-overlap', offset, message);
      isFree = false;
    }
    return isFree;
  }

  #add(code: string, offset: number, message: string, doubtful = false): void {
    const finding: Finding = { code, severity: doubtful ? 'doubtful' : 'wrong', message, offset };
    this.#found.add(finding);
  }
}

class Tally {
  first = -1;
  count = 0;

  add(cluster: number): void {
    if (this.count++ === 0) this.first = cluster;
  }
}

function lastData(table: Buffer, index: number): number {
  let last = SUBCLUSTERS - 1;
  while (last >= 0 && subclusterKind(table, index, last) !== 'data') last--;
  return last;
}
