/**
 * The table of internal snapshots (docs/interop/qcow2, "Snapshots"). What they hold is not read; but QEMU opens no
 * image whose table it cannot read, so that one which is damaged is told.
 */
import { KiB, MiB } from '../../core/units.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import type { Qcow2Header } from './header.js';

/** QEMU's bounds. */
const SNAPSHOTS_MAX = 64 * KiB;
const TABLE_BYTES_MAX = 64 * MiB;
const EXTRA_BYTES_MAX = KiB;
const ENTRY_BYTES = 40;

/** @throws TransferError E_DISK_FORMAT when QEMU would refuse the table */
export async function assertSnapshots(bytes: DiskBytes, header: Qcow2Header): Promise<void> {
  const { snapshots, snapshotsAt, clusterBytes } = header;
  if (snapshots === 0) return;
  const refuse = (at: number, expected: string, found: string): never => {
    throw diskError(bytes.name, 'table of snapshots', at, expected, found);
  };
  if (snapshots > SNAPSHOTS_MAX) refuse(60, `at most ${SNAPSHOTS_MAX} snapshots`, String(snapshots));
  if (snapshotsAt === 0 || snapshotsAt % clusterBytes !== 0) {
    refuse(64, `a table at a multiple of the cluster of ${clusterBytes} bytes`, `byte ${snapshotsAt}`);
  }
  let at = snapshotsAt;
  for (let index = 0; index < snapshots; index++) {
    const entry = await bytes.read({ offset: at, length: ENTRY_BYTES }, `snapshot ${index}`);
    const extra = entry.readUInt32BE(36);
    if (extra > EXTRA_BYTES_MAX) refuse(at + 36, `at most ${EXTRA_BYTES_MAX} bytes of extra data`, String(extra));
    const length = ENTRY_BYTES + extra + entry.readUInt16BE(12) + entry.readUInt16BE(14);
    if (at > bytes.size - length)
      refuse(at, `${length} bytes inside the file of ${bytes.size} bytes`, 'its end before');
    at += Math.ceil(length / 8) * 8;
    if (at - snapshotsAt > TABLE_BYTES_MAX) refuse(at, 'a table of at most 64 MiB', 'more');
  }
}
