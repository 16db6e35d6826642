/** Opening a VHDX: its structures in the order in which each says where the next is ([MS-VHDX] 2.2 to 2.6). */
import type { DiskBytes } from '../image.js';
import { type BatGeometry, batGeometry, readBat } from './bat.js';
import { assertIdentifier, type CurrentHeader, currentHeader, readCreator } from './header.js';
import type { VhdxRef } from './image.js';
import { type LogReplay, replayLog } from './log.js';
import { readMetadata, type VhdxMetadata } from './metadata.js';
import { type Regions, readRegions } from './region.js';
import { replayedBytes } from './segments.js';

export interface OpenedVhdx {
  readonly current: CurrentHeader;
  readonly regions: Regions;
  readonly metadata: VhdxMetadata;
  readonly geometry: BatGeometry;
  readonly log?: LogReplay;
  /** The file with its log replayed. */
  readonly bytes: DiskBytes;
}

/** All but the BAT. @throws TransferError E_DISK_FORMAT */
export async function openStructures(file: DiskBytes): Promise<OpenedVhdx> {
  await assertIdentifier(file);
  const current = await currentHeader(file);
  const { header } = current;
  const log = await replayLog(file, header);
  const bytes = log ? replayedBytes(file, log) : file;
  const regions = await readRegions(bytes);
  const metadata = await readMetadata(bytes, regions.metadata);
  return { current, regions, metadata, geometry: batGeometry(metadata), ...(log && { log }), bytes };
}

export async function openVhdx(file: DiskBytes): Promise<VhdxRef> {
  const { current, regions, metadata, geometry, log, bytes } = await openStructures(file);
  const { parent, leaveAllocated, sectorBytes, physicalSectorBytes } = metadata;
  const creator = await readCreator(file);
  return {
    format: 'vhdx',
    kind: parent ? 'differencing' : leaveAllocated ? 'fixed' : 'dynamic',
    geometry,
    bat: await readBat(bytes, regions.bat, geometry),
    identity: current.header.dataWriteGuid,
    ...(parent && { parent }),
    ...(log && { log }),
    facts: {
      ...(creator !== '' && { creator }),
      sectors: `${sectorBytes} bytes, ${physicalSectorBytes} on the medium`,
      ...(log && { log: 'not empty: the disk was not closed, or is in use' }),
    },
  };
}
