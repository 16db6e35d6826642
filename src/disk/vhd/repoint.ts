/**
 * Makes a differencing VHD name another parent, in place.
 *
 * The header has two sectors and one sum, so it is never written over while it counts: the new one is first put behind
 * everything, where the footer at the end finds it, then to where the old one was, where the copy at the front finds
 * it; and at the end the file looks as before, with the new locators at its end. The old ones are left where they are.
 */
import { TransferError } from '../../core/errors.js';
import type { ParentLink } from '../image.js';
import type { DiskFile } from '../image-writer.js';
import { overlapsOf } from './block-table.js';
import { VHD_HEADER_BYTES, withParent } from './dynamic-header.js';
import { changedVhdFooter, VHD_FOOTER_BYTES } from './footer.js';
import { footerOf, readFooters } from './footers.js';
import { readBlocks } from './open-for-writing.js';
import { parentFields } from './parent-locators.js';
import { openVhd } from './vhd-image.js';

/** Where every writer of VHDs puts it: right behind the copy of the footer. */
const HEADER_AT = VHD_FOOTER_BYTES;

/** @throws TransferError E_DISK_FORMAT, E_USAGE when it has no parent, or the new one cannot be named */
export async function repointVhd(file: DiskFile, parent: ParentLink): Promise<void> {
  const { kind } = await openVhd(file);
  if (kind !== 'differencing') throw usage(`${file.name} is a ${kind} VHD, which has no parent`);
  const { identity } = parent;
  if (identity === undefined || !/^[0-9a-f]{32}$/i.test(identity)) {
    throw usage(`${file.name} can only build on a parent that has a unique id of 16 bytes`);
  }
  await finishEarlier(file);
  const footers = await readFooters(file);
  const { bytes: footer, footer: fields } = footerOf(footers);
  const { headerBytes, header, usedEnd } = await readBlocks(file, footers);
  const link = parentFields({ ...parent, identity }, usedEnd, header.parentTime);
  const newHeader = withParent(headerBytes, link.fields);
  const headerAt = Number(fields.dataOffset);
  const copyAt = usedEnd + link.data.length;
  const written = (...pieces: readonly (readonly [at: number, bytes: Uint8Array])[]): void => {
    for (const [at, bytes] of pieces) file.write(at, bytes);
    file.flush();
  };
  written([0, footer]);
  file.setSize(usedEnd);
  written([usedEnd, link.data], [copyAt, newHeader]);
  written([copyAt + VHD_HEADER_BYTES, changedVhdFooter(footer, { dataOffset: copyAt })]);
  written([headerAt, newHeader]);
  // The footer that is cut off names what the next one is written over.
  file.setSize(copyAt);
  file.flush();
  written([copyAt, footer]);
}

/** One that was cut short has left its header behind everything: it goes home, to where the copy at the front says. */
async function finishEarlier(file: DiskFile): Promise<void> {
  const footers = await readFooters(file);
  const { end, front } = footers;
  if (!end.footer || Number(front.footer?.dataOffset) !== HEADER_AT) return;
  if (Number(end.footer.dataOffset) === HEADER_AT) return;
  const { headerBytes, header, table } = await readBlocks(file, footers);
  const home = { what: 'the dynamic disk header', from: HEADER_AT, to: HEADER_AT + VHD_HEADER_BYTES };
  // Only a damaged or hostile file has anything else there.
  if (header.tableAt < home.to || overlapsOf(table, [home])) return;
  file.write(HEADER_AT, headerBytes);
  file.flush();
  file.write(end.at, changedVhdFooter(end.bytes, { dataOffset: HEADER_AT }));
  file.flush();
}

function usage(message: string): TransferError {
  return new TransferError('E_USAGE', message, {
    hint: 'Only differencing VHDs name a parent, and only a VHD can be one. Nothing was changed.',
  });
}
