/**
 * Compressed clusters (docs/interop/qcow2, "Compressed Clusters Descriptor" and "compression_type"). The compressed
 * bytes may end before the last sector that is given to them; what is made of them is a cluster, not more and not less.
 */
import { constants, createInflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { diskError } from '../disk-bytes.js';
import type { Entry } from './entries.js';
import type { Qcow2Header } from './header.js';
import { unpackZstd } from './zstd.js';

type Unpacking = Pick<Qcow2Header, 'clusterBytes' | 'compression'>;

/** The cluster that an entry's compressed bytes hold. @throws TransferError E_DISK_FORMAT */
export async function unpack(packed: Buffer, entry: Entry, header: Unpacking, name: string): Promise<Uint8Array> {
  const { clusterBytes } = header;
  try {
    return unpackNow(packed, entry, header, name);
  } catch (thrown) {
    const { cause } = thrown as { cause?: NodeJS.ErrnoException };
    if (cause?.code !== 'ERR_BUFFER_TOO_LARGE') throw thrown;
  }
  // The stream makes more than a cluster: the rest of it is nobody's.
  const stream = createInflateRaw(inflateOptions(clusterBytes));
  stream.end(packed);
  const made: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    made.push(piece);
    bytes += piece.length;
    if (bytes >= clusterBytes) break;
  }
  return Buffer.concat(made).subarray(0, clusterBytes);
}

/** As {@link unpack}, at once; refuses a stream that makes more than a cluster, which no tool writes. */
export function unpackNow(packed: Buffer, entry: Entry, header: Unpacking, name: string): Uint8Array {
  const { clusterBytes, compression } = header;
  const what = `compressed cluster (${compression})`;
  const expected = `a cluster of ${clusterBytes} bytes`;
  const made = ((): Uint8Array => {
    try {
      if (compression === 'zstd') return unpackZstd(packed, clusterBytes);
      return inflateRawSync(packed, { ...inflateOptions(clusterBytes), maxOutputLength: clusterBytes });
    } catch (thrown) {
      throw diskError(name, what, entry.at, expected, textOf(thrown), thrown);
    }
  })();
  if (made.length === clusterBytes) return made;
  throw diskError(name, what, entry.at, expected, `${made.length} bytes`);
}

/**
 * A deflate stream without header and checksum. Node stops at the stream's end and passes over what follows; it stops
 * quietly too where the input ends early, which the length then shows.
 */
function inflateOptions(clusterBytes: number): ZlibOptions {
  return { chunkSize: clusterBytes, finishFlush: constants.Z_SYNC_FLUSH };
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
