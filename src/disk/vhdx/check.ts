/**
 * Looks at every structure of a VHDX and goes on after what it finds. Memory is bounded whatever the disk's size: the
 * BAT passes by in windows, and what is taken of the file is a bit for each MiB.
 */
import { TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import type { DiskBytes, Finding, Findings } from '../image.js';
import { BAT_ENTRY_BYTES, Bat, type BatGeometry, batGeometry, readBat } from './bat.js';
import { checkBat } from './check-bat.js';
import { FileSpace, SPACE_BYTES_MAX } from './file-space.js';
import { GUID_NONE } from './guid.js';
import {
  assertIdentifier,
  assertLogPlace,
  currentHeader,
  HEADER_SECTION_BYTES,
  HEADERS_AT,
  readHeaders,
  type VhdxHeader,
} from './header.js';
import { type LogReplay, replayLog } from './log.js';
import { METADATA_TABLE_BYTES, readMetadata, readMetadataTable } from './metadata.js';
import {
  isKnownRegion,
  locateRegions,
  REGION_TABLES_AT,
  type Region,
  type Regions,
  readRegionTable,
} from './region.js';
import { replayedBytes } from './segments.js';

const READ_BYTES = MiB;

type Fault = Pick<Finding, 'code' | 'severity'> & { readonly offset?: number };

export async function checkVhdx(file: DiskBytes, found: Findings): Promise<void> {
  await attempt({ code: 'vhdx-identifier', severity: 'wrong', offset: 0 }, found, () => assertIdentifier(file));
  const header = await checkHeaders(file, found);
  if (!header) return;
  const log = await checkLog(file, header, found);
  // Where the log cannot be replayed, what follows is looked at as it stands.
  const bytes = log ? replayedBytes(file, log) : file;
  const regions = await checkRegions(bytes, found);
  if (!regions) return;
  const space = new FileSpace(bytes.size);
  checkPlaces(bytes, header, regions, { space, found });
  await checkMetadataItems(bytes, regions, found);
  const at = { code: 'vhdx-metadata', severity: 'wrong', offset: regions.metadata.at } as const;
  const metadata = await attempt(at, found, () => readMetadata(bytes, regions.metadata));
  if (!metadata) return;
  const geometry = batGeometry(metadata);
  if (geometry.size === 0) {
    const message = `${file.name}: the disk has no bytes; hardly a program opens such a disk`;
    found.add({ code: 'vhdx-empty', severity: 'doubtful', message });
  }
  const fault = { code: 'vhdx-bat-size', severity: 'wrong', offset: regions.bat.at } as const;
  const place = await attempt(fault, found, () => readBat(bytes, regions.bat, geometry));
  if (!place) return;
  const bat = new Bat(geometry, place, bytes);
  await checkBat(
    { bat, batAt: place.at, fileBytes: bytes.size, leaveAllocated: metadata.leaveAllocated },
    space,
    found,
  );
  await checkBehindDisk(bytes, regions.bat, geometry, found);
}

/** Entries behind those of the disk should say nothing: it may have been larger than its size says now. */
async function checkBehindDisk(
  bytes: DiskBytes,
  region: Region,
  geometry: BatGeometry,
  found: Findings,
): Promise<void> {
  const end = region.at + region.length;
  const zeroes = Buffer.alloc(READ_BYTES);
  let length: number;
  for (let offset = region.at + geometry.entries * BAT_ENTRY_BYTES; offset < end; offset += length) {
    length = Math.min(READ_BYTES, end - offset);
    const part = await bytes.read({ offset, length }, 'BAT');
    if (part.equals(zeroes.subarray(0, length))) continue;
    const message = `${bytes.name}: BAT: expected nothing behind its ${geometry.blocks} blocks, found entries`;
    found.add({ code: 'vhdx-bat-behind-disk', severity: 'doubtful', message, offset });
    return;
  }
}

/** What the act returns; undefined: it found a fault in the format, which is told. */
async function attempt<T>(fault: Fault, found: Findings, act: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_FORMAT') throw thrown;
    found.add({ ...fault, message: thrown.message });
    return undefined;
  }
}

async function checkHeaders(file: DiskBytes, found: Findings): Promise<VhdxHeader | undefined> {
  const slots = await readHeaders(file);
  const whole = slots.some((slot) => !(slot instanceof TransferError));
  slots.forEach((slot, index) => {
    if (!(slot instanceof TransferError)) return;
    const severity = whole ? 'doubtful' : 'wrong';
    found.add({ code: 'vhdx-header-checksum', severity, message: slot.message, offset: HEADERS_AT[index] ?? 0 });
  });
  if (!whole) return undefined;
  const fault = { code: 'vhdx-header', severity: 'wrong', offset: HEADERS_AT[0] } as const;
  return (await attempt(fault, found, () => currentHeader(file)))?.header;
}

async function checkLog(file: DiskBytes, header: VhdxHeader, found: Findings): Promise<LogReplay | undefined> {
  const at = { offset: header.logAt } as const;
  await attempt({ code: 'vhdx-log-place', severity: 'doubtful', ...at }, found, () => assertLogPlace(file, header));
  const log = await attempt({ code: 'vhdx-log', severity: 'wrong', ...at }, found, () => replayLog(file, header));
  if (header.logGuid === GUID_NONE) return undefined;
  const message = `${file.name}: the log is not empty: the disk was not closed, or is in use; it is read with it`;
  found.add({ code: 'vhdx-log-dirty', severity: 'doubtful', message, ...at });
  if (log && file.size < log.fileBytes) {
    const cut = `${file.name}: the file has ${file.size} bytes, and ${log.fileBytes} once its log is replayed`;
    found.add({ code: 'vhdx-truncated', severity: 'doubtful', message: cut, offset: file.size });
  }
  return log;
}

async function checkRegions(bytes: DiskBytes, found: Findings): Promise<Regions | undefined> {
  const { name, size } = bytes;
  const read: { readonly copy: 0 | 1; readonly all: readonly Region[] }[] = [];
  const faults: Finding[] = [];
  const collect: Findings = { add: (finding) => faults.push(finding) };
  for (const copy of [0, 1] as const) {
    const fault = { code: 'vhdx-region-checksum', severity: 'wrong', offset: REGION_TABLES_AT[copy] } as const;
    const all = await attempt(fault, collect, () => readRegionTable(bytes, copy));
    if (all) read.push({ copy, all });
  }
  for (const fault of faults) found.add({ ...fault, severity: read.length > 0 ? 'doubtful' : 'wrong' });
  const [first, second] = read;
  if (!first) return undefined;
  if (second && JSON.stringify(first.all) !== JSON.stringify(second.all)) {
    const message = `${name}: the two region tables say different things; the first is taken`;
    found.add({ code: 'vhdx-regions-differ', severity: 'wrong', message, offset: REGION_TABLES_AT[1] });
  }
  const cut = first.all.find((region) => isKnownRegion(region) && region.at > size - region.length);
  if (cut) {
    const message = `${name}: region ${cut.guid} at ${cut.at}: expected ${cut.length} bytes, found a file of ${size}`;
    found.add({ code: 'vhdx-truncated', severity: 'wrong', message, offset: size });
    return undefined;
  }
  const fault = { code: 'vhdx-regions', severity: 'wrong', offset: REGION_TABLES_AT[first.copy] } as const;
  return await attempt(fault, found, () => locateRegions(bytes, first.all, first.copy));
}

/** Structures never overlap (2.1), and are whole in the file. */
function checkPlaces(
  { name, size }: DiskBytes,
  header: VhdxHeader,
  regions: Regions,
  { space, found }: { readonly space: FileSpace; readonly found: Findings },
): void {
  const places = [
    { what: 'header section', at: 0, length: HEADER_SECTION_BYTES },
    { what: 'log', at: header.logAt, length: header.logBytes },
    ...regions.all.map(({ guid, at, length }) => ({ what: `region ${guid}`, at, length })),
  ];
  for (const { what, at, length } of places) {
    if (!space.take(at, length)) {
      const message = `${name}: ${what} at byte ${at}: expected space of its own, found another structure there`;
      found.add({ code: 'vhdx-regions-overlap', severity: 'wrong', message, offset: at });
    }
    if (at > size - length) {
      const message = `${name}: ${what} at byte ${at}: expected ${length} bytes, found the end of the file at ${size}`;
      found.add({ code: 'vhdx-truncated', severity: 'doubtful', message, offset: size });
    }
  }
  if (size > SPACE_BYTES_MAX) {
    const message = `${name}: the file is larger than 512 TiB: what overlaps behind that is not found`;
    found.add({ code: 'vhdx-too-large', severity: 'doubtful', message });
  }
}

async function checkMetadataItems(bytes: DiskBytes, regions: Regions, found: Findings): Promise<void> {
  const fault = { code: 'vhdx-metadata', severity: 'wrong', offset: regions.metadata.at } as const;
  // What is wrong with the table itself is told by the reading that follows.
  const items = await attempt(fault, { add: () => undefined }, () => readMetadataTable(bytes, regions.metadata));
  const placed = (items ?? []).filter((item) => item.length > 0).sort((a, b) => a.offset - b.offset);
  let end = METADATA_TABLE_BYTES;
  for (const { guid, offset, length, entryAt } of placed) {
    if (offset < end) {
      const message = `${bytes.name}: metadata item ${guid}: expected space of its own, found another item there`;
      found.add({ code: 'vhdx-metadata-overlap', severity: 'doubtful', message, offset: entryAt });
    }
    end = Math.max(end, offset + length);
  }
}
