/**
 * Looks at every structure of a VHD and says what is wrong with it, a code and a sentence each. Its memory is bounded:
 * of many blocks with one fault the number is told, and the first.
 */
import { TransferError } from '../../core/errors.js';
import type { DiskBytes, Finding, Findings, Severity } from '../image.js';
import { type BlockTable, overlapsOf, readBlockTable, structuresOf } from './block-table.js';
import { decodeVhdHeader, VHD_HEADER_CHECKSUM_AT, type VhdHeader } from './dynamic-header.js';
import { decodeVhdFooter, VHD_FOOTER_BYTES, VHD_SECTOR_BYTES, type VhdFooter, vhdChecksum } from './footer.js';
import { dataEnd, type FooterSpot, type Footers, readFooters } from './footers.js';
import { readParentLink } from './parent-locators.js';
import { readHeader } from './vhd-image.js';

/** Creators whose disks some readers size by their geometry. */
const BY_GEOMETRY = ['vpc ', 'vs  ', 'qemu'];
/** The largest geometry stands for every size above it. */
const GEOMETRY_SECTORS_MAX = 65535 * 16 * 255;

export async function checkVhd(bytes: DiskBytes, found: Findings): Promise<void> {
  const footers = await readFooters(bytes);
  const { end, front } = footers;
  const isCopy = front.footer && front.footer.diskType !== 'fixed';
  const footer = end.footer ?? (isCopy ? front.footer : undefined);
  if (!end.footer) found.add(footerFinding(end, footer ? 'doubtful' : 'wrong', 'the footer at the end of the file'));
  if (!footer) return;
  if (footer.diskType === 'fixed') checkFixed(footer, end.at, found);
  else {
    checkCopies(footers, found);
    await checkDynamic(bytes, footers, footer, found);
  }
  checkSize(footer, found);
  if (footer.savedState) {
    const message = 'the footer says that the disk belongs to a saved state of a virtual machine: it may be incomplete';
    found.add({ code: 'vhd-saved-state', severity: 'doubtful', message, offset: end.at });
  }
}

/** A whole footer of a fixed disk at the end of what is called raw: a guest would see 512 bytes of it as a sector. */
export async function checkFixedAsRaw(bytes: DiskBytes, found: Findings): Promise<void> {
  if (bytes.size <= VHD_FOOTER_BYTES) return;
  const offset = bytes.size - VHD_FOOTER_BYTES;
  const last = await bytes.read({ offset, length: VHD_FOOTER_BYTES }, 'end');
  try {
    const { diskType, currentBytes } = decodeVhdFooter(last);
    if (diskType !== 'fixed' || currentBytes > offset) return;
  } catch (thrown) {
    formatErrorOf(thrown);
    return;
  }
  const message =
    'the file is taken for raw, but it ends with the footer of a fixed VHD, which is not part of the disk';
  found.add({ code: 'vhd-fixed-as-raw', severity: 'doubtful', message, offset });
}

function footerFinding({ at, damage }: FooterSpot, severity: Severity, what: string): Finding {
  const { kind, error } = damage as Required<FooterSpot>['damage'];
  const how = kind === 'missing' ? 'missing' : 'damaged';
  return { code: `vhd-footer-${kind}`, severity, message: `${what} is ${how}: ${error.message}`, offset: at };
}

function checkCopies({ end, front }: Footers, found: Findings): void {
  if (!front.footer) found.add(footerFinding(front, 'doubtful', 'the copy of the footer at the front of the file'));
  else if (end.footer && !end.bytes.equals(front.bytes)) {
    const message =
      'the footer at the end and its copy at the front are both whole, and differ; the one at the end counts';
    found.add({ code: 'vhd-footer-copies-differ', severity: 'doubtful', message, offset: 0 });
  }
}

function checkFixed({ currentBytes }: VhdFooter, footerAt: number, found: Findings): void {
  if (currentBytes > footerAt) {
    const message = `the disk has ${currentBytes} bytes, and only ${footerAt} are in the file before its footer`;
    found.add({ code: 'vhd-truncated', severity: 'wrong', message, offset: footerAt });
  } else if (currentBytes < footerAt) {
    const message = `the disk has ${currentBytes} bytes, and ${footerAt} are in the file before its footer`;
    found.add({ code: 'vhd-size', severity: 'doubtful', message, offset: currentBytes });
  }
}

function checkSize({ creatorApplication, geometry, currentBytes }: VhdFooter, found: Findings): void {
  const sectors = geometry.cylinders * geometry.heads * geometry.sectorsPerTrack;
  if (!BY_GEOMETRY.includes(creatorApplication) || sectors >= GEOMETRY_SECTORS_MAX) return;
  const bytes = sectors * VHD_SECTOR_BYTES;
  if (bytes === currentBytes) return;
  const message = `the disk has ${currentBytes} bytes; Virtual PC, and others that go by its geometry, see ${bytes}`;
  found.add({ code: 'vhd-size', severity: 'doubtful', message });
}

async function checkDynamic(bytes: DiskBytes, footers: Footers, footer: VhdFooter, found: Findings): Promise<void> {
  const headerAt = Number(footer.dataOffset);
  const wrong = (code: string, offset: number) => (message: string) =>
    ({ code, severity: 'wrong', message, offset }) as const;
  const raw = await part(() => readHeader(bytes, footer), found, wrong('vhd-truncated', headerAt));
  if (!raw) return;
  const summed = vhdChecksum(raw, VHD_HEADER_CHECKSUM_AT) === raw.readUInt32BE(VHD_HEADER_CHECKSUM_AT);
  const damage = wrong(summed ? 'vhd-header-field' : 'vhd-header-checksum', headerAt);
  const header = await part(async () => decodeVhdHeader(raw, bytes.name, headerAt), found, damage);
  if (!header) return;
  const { tableAt, tableEntries } = header;
  const needed = Math.ceil(footer.currentBytes / header.blockBytes);
  const lack = wrong(tableEntries < needed ? 'vhd-bat-size' : 'vhd-truncated', tableAt);
  const table = await part(() => readBlockTable(bytes, header, footer.currentBytes), found, lack);
  if (footer.diskType === 'differencing') await checkParent(bytes, header, found);
  if (!table) return;
  checkPlaces(table, { size: footer.currentBytes, end: dataEnd(bytes, footers), tableAt }, found);
  const overlaps = overlapsOf(table, structuresOf(headerAt, header));
  if (!overlaps) return;
  const message = `blocks share their place with others or with structures (${overlaps.count}): ${overlaps.first}`;
  found.add({ code: 'vhd-blocks-overlap', severity: 'wrong', message, offset: overlaps.at });
}

interface Bounds {
  /** Of the disk. */
  readonly size: number;
  /** Where the file's data must have ended. */
  readonly end: number;
  readonly tableAt: number;
}

/** Every block must be whole in the file, bitmap and data, as far as the disk goes. */
function checkPlaces(table: BlockTable, { size, end, tableAt }: Bounds, found: Findings): void {
  let [count, first] = [0, 0];
  for (let block = 0; block < table.entries.length; block++) {
    const at = table.bitmapAt(block);
    const dataBytes = Math.min(table.blockBytes, size - block * table.blockBytes);
    if (at === undefined || at + table.bitmapBytes + dataBytes <= end) continue;
    if (count++ === 0) first = block;
  }
  if (count === 0) return;
  const at = table.bitmapAt(first);
  const which = `${count}, the first is block ${first} at byte ${at}`;
  const message = `blocks reach past byte ${end}, where the file's data ends (${which})`;
  found.add({ code: 'vhd-bat-past-end', severity: 'wrong', message, offset: tableAt + first * 4 });
}

async function checkParent(bytes: DiskBytes, header: VhdHeader, found: Findings): Promise<void> {
  const link = await readParentLink(bytes, header, ({ code }, why) => {
    found.add({ code: 'vhd-parent-locator', severity: 'doubtful', message: `parent locator ${code}: ${why}` });
  });
  if (link.paths.length > 0) return;
  const message = 'the disk has a parent, and names no path to it';
  found.add({ code: 'vhd-parent-unnamed', severity: 'wrong', message });
}

/** What cannot be read is a finding; anything else that goes wrong is not the image's fault. */
async function part<T>(
  read: () => Promise<T>,
  found: Findings,
  finding: (message: string) => Finding,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (thrown) {
    found.add(finding(formatErrorOf(thrown).message));
    return undefined;
  }
}

function formatErrorOf(thrown: unknown): TransferError {
  if (thrown instanceof TransferError && thrown.code === 'E_DISK_FORMAT') return thrown;
  throw thrown;
}
