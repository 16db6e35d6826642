/**
 * Paths of URLs, of which one may be written in several ways (`%41` is `A`): their segments as names, byte for byte,
 * and one way to write them, by which two locations of one file are known to be that.
 */
import type { FileIdentity } from '../core/endpoint.js';
import { decodePath, encodePath } from '../platform/path-bytes.js';

/** The name that a segment stands for. */
export function nameOfSegment(segment: string): string {
  const bytes = segment.replace(/%([0-9a-f]{2})/gi, (_all, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return decodePath(Buffer.from(bytes, 'latin1'));
}

/** The segment of a name: all is encoded but what never needs it (RFC 3986 §2.3). */
export function segmentOfName(name: string): string {
  const encoded = [...Buffer.from(encodePath(name))].map((byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`;
  });
  return encoded.join('');
}

/** A name for what stands at a URL: web servers tell no inode. */
export function identityAt({ origin, pathname }: URL): FileIdentity {
  const segments = pathname.split('/').map((segment) => segmentOfName(nameOfSegment(segment)));
  return { device: origin, inode: segments.join('/') };
}
