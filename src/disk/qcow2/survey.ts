/** What has to be known of a qcow2 image before it is written to: that it can be, and where its last cluster ends. */
import { diskError, hinted, notClosed } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import { type Entry, entryAt, entryBytes } from './entries.js';
import { EXTENSION, ownerOfMore } from './extensions.js';
import type { Qcow2Header } from './header.js';
import { REFCOUNT_TABLE_BYTES_MAX, readRefcountTable } from './refcounts.js';
import { L1_BYTES_MAX, L2Tables, readL1 } from './tables.js';

const INSTEAD = 'Make one disk of the whole chain with "blockferry copy --flatten" instead. Nothing was changed.';

/** Refuses, by name, what this version does not write into. */
export function demandWritable(header: Qcow2Header, name: string): void {
  const refuse = (holds: boolean, what: string, at: number, expected: string, found: string): void => {
    if (holds) throw hinted(diskError(name, what, at, expected, found), INSTEAD);
  };
  if (header.dirty) throw notClosed(name, 'incompatible features', 72, 'one that is marked dirty');
  if (header.corrupt) throw notClosed(name, 'incompatible features', 72, 'one that is marked corrupt');
  const snapshots = `${header.snapshots} internal snapshots, which share clusters with it`;
  refuse(header.snapshots > 0, 'snapshots', 60, 'an image to write to', snapshots);
  refuse(header.subclusters, 'incompatible features', 72, 'an image to write to', 'extended L2 entries');
  const unknown = ownerOfMore(header);
  const bitmaps = unknown?.type === EXTENSION.bitmaps;
  const found = bitmaps ? 'persistent bitmaps' : `extension 0x${unknown?.type.toString(16)}, which may own clusters`;
  refuse(unknown !== undefined, 'header extension', unknown?.at ?? 0, 'an image to write to', found);
}

/** Places of the refcount blocks, each of them checked. */
export async function readBlocks(bytes: DiskBytes, header: Qcow2Header): Promise<Float64Array> {
  const { refcountClusters, clusterBytes } = header;
  const length = refcountClusters * clusterBytes;
  if (length === 0 || length > REFCOUNT_TABLE_BYTES_MAX) {
    throw diskError(bytes.name, 'refcount table size', 56, '1 cluster to 8 MiB', `${refcountClusters} clusters`);
  }
  const blocks = await readRefcountTable(bytes, header);
  for (const at of blocks) demandCluster(at, bytes, header, 'refcount block');
  return blocks;
}

/** The first cluster after all that anything refers to; what comes later was left there by a writer that died. */
export async function usedClusters(bytes: DiskBytes, header: Qcow2Header, blocks: Float64Array): Promise<number> {
  const { clusterBytes } = header;
  const places = await readL1(bytes, header);
  await demandNoMore(bytes, header, places.length);
  let end = clusterBytes;
  const use = (at: number, length: number): void => {
    if (length > 0) end = Math.max(end, at + length);
  };
  use(header.l1At, header.l1Entries * 8);
  use(header.refcountsAt, header.refcountClusters * clusterBytes);
  for (const at of blocks) use(at, at === 0 ? 0 : clusterBytes);
  const tables = new L2Tables(bytes, header, places);
  for (let index = 0; index < places.length; index++) {
    if (places[index] === 0) continue;
    use(places[index] ?? 0, clusterBytes);
    const table = await tables.table(index, places.length);
    const count = table ? table.length / entryBytes(header) : 0;
    for (let cluster = 0; table && cluster < count; cluster++) {
      const entry = checkedEntry(table, cluster, header, bytes);
      use(entry.at, entry.at === 0 ? 0 : entry.kind === 'compressed' ? entry.bytes : clusterBytes);
    }
  }
  if (Number.isSafeInteger(end)) return Math.ceil(end / clusterBytes);
  throw diskError(bytes.name, 'L2 entries', end, 'clusters inside the file', 'one past it');
}

/** @throws TransferError E_DISK_FORMAT when the entry is wrong, or its bytes are not in the file */
export function checkedEntry(table: Buffer, index: number, header: Qcow2Header, bytes: DiskBytes): Entry {
  const entry = entryAt(table, index, header);
  if (entry.problem && !entry.problem.doubtful) {
    throw diskError(bytes.name, 'L2 entry', entry.at, entry.problem.expected, entry.problem.found);
  }
  if (entry.at < bytes.size || entry.at === 0) return entry;
  throw diskError(bytes.name, 'cluster', entry.at, `a place inside the file of ${bytes.size} bytes`, 'one past it');
}

/** Tables past the disk's end hold the state of a running machine, and only together with snapshots. */
async function demandNoMore(bytes: DiskBytes, { l1At, l1Entries }: Qcow2Header, needed: number): Promise<void> {
  const piece = 1024;
  if (l1Entries * 8 > L1_BYTES_MAX) {
    throw diskError(bytes.name, 'L1 table size', 36, 'at most 32 MiB', `${l1Entries} entries`);
  }
  for (let from = needed; from < l1Entries; from += piece) {
    const offset = l1At + from * 8;
    const rest = await bytes.read({ offset, length: Math.min(piece, l1Entries - from) * 8 }, 'L1 table');
    if (rest.some((byte) => byte !== 0)) {
      throw diskError(bytes.name, 'L1 table', offset, 'no entries past the end of the disk', 'some');
    }
  }
}

export function demandCluster(
  at: number,
  { name, size }: DiskBytes,
  { clusterBytes }: Qcow2Header,
  what: string,
): void {
  if (at === 0 || (at % clusterBytes === 0 && at <= size - clusterBytes)) return;
  throw diskError(
    name,
    what,
    at,
    `a cluster of ${clusterBytes} bytes inside the file of ${size} bytes`,
    'another place',
  );
}
