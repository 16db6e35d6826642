/**
 * Which footer of a VHD counts. It stands at the end of the file, and dynamic and differencing disks have a copy of it
 * at the front: "the footer is mirrored … in case the footer at the end is corrupted". The one at the end is asked
 * first. While a disk grows there may be none at the end, and the copy is all there is.
 */
import { TransferError } from '../../core/errors.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import { decodeVhdFooter, VHD_FOOTER_BYTES, VHD_FOOTER_CHECKSUM_AT, type VhdFooter, vhdChecksum } from './footer.js';

const COOKIE = 'conectix';

/** A place where a footer should be, and what is there. */
export interface FooterSpot {
  readonly at: number;
  /** The footer, if it is whole, and its bytes. */
  readonly footer?: VhdFooter;
  readonly bytes: Buffer;
  /** Why not: nothing there calls itself a footer, its sum is wrong, or it says what no footer says. */
  readonly damage?: { readonly kind: 'missing' | 'checksum' | 'field'; readonly error: TransferError };
}

export interface Footers {
  readonly end: FooterSpot;
  readonly front: FooterSpot;
}

/** Looks at both places; damage is told, not thrown. */
export async function readFooters(bytes: DiskBytes): Promise<Footers> {
  const length = Math.min(VHD_FOOTER_BYTES, bytes.size);
  const front = await bytes.read({ offset: 0, length }, 'copy of the VHD footer');
  const end = await bytes.read({ offset: bytes.size - length, length }, 'VHD footer');
  // The footer of Virtual PC before 2004 is one byte shorter: the last, reserved one is missing.
  const short = !hasCookie(end) && hasCookie(end.subarray(1));
  const last = short ? Buffer.concat([end.subarray(1), Buffer.alloc(1)]) : end;
  return { end: spot(bytes, bytes.size - length + (short ? 1 : 0), last), front: spot(bytes, 0, front) };
}

/** A footer that is whole. */
export type WholeFooter = Required<Pick<FooterSpot, 'footer' | 'bytes'>>;

/**
 * The footer that counts.
 * @throws TransferError E_DISK_FORMAT when none is whole, saying what is wrong with the one at the end
 */
export function footerOf({ end, front }: Footers): WholeFooter {
  if (end.footer) return { footer: end.footer, bytes: end.bytes };
  // A fixed disk has no copy: what stands at its front is the guest's.
  if (front.footer && front.footer.diskType !== 'fixed') return { footer: front.footer, bytes: front.bytes };
  throw end.damage?.error as TransferError;
}

/** Where the guest's data must have ended: at the footer, or at the end of a file that has none there. */
export const dataEnd = ({ size }: DiskBytes, { end }: Footers): number => (end.footer ? end.at : size);

const hasCookie = (bytes: Buffer): boolean => bytes.toString('latin1', 0, 8) === COOKIE;

function spot({ name }: DiskBytes, at: number, bytes: Buffer): FooterSpot {
  if (bytes.length < VHD_FOOTER_BYTES) {
    const error = diskError(name, 'VHD footer', at, `${VHD_FOOTER_BYTES} bytes`, `a file of ${bytes.length} bytes`);
    return { at, bytes, damage: { kind: 'missing', error } };
  }
  try {
    return { at, bytes, footer: decodeVhdFooter(bytes) };
  } catch (thrown) {
    if (!(thrown instanceof TransferError)) throw thrown;
    const { code, message, detail } = thrown;
    const error = new TransferError(code, `${name}, byte ${at}: ${message}`, detail);
    const summed = vhdChecksum(bytes, VHD_FOOTER_CHECKSUM_AT) === bytes.readUInt32BE(VHD_FOOTER_CHECKSUM_AT);
    return { at, bytes, damage: { kind: !hasCookie(bytes) ? 'missing' : summed ? 'field' : 'checksum', error } };
  }
}
