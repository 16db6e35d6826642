/**
 * Compressed clusters (docs/interop/qcow2, "Compressed Clusters Descriptor" and "compression_type"). The compressed
 * bytes may end before the last sector that is given to them; what is made of them is a cluster, not more and not less.
 */
import { constants, createInflateRaw, inflateRawSync } from 'node:zlib';
import { diskError } from '../disk-bytes.js';
import type { Entry } from './entries.js';
import type { Qcow2Header } from './header.js';
import { unpackZstd } from './zstd.js';

type Unpacking = Pick<Qcow2Header, 'clusterBytes' | 'compression'>;

/** The cluster that an entry's compressed bytes hold. @throws TransferError E_DISK_FORMAT */
export async function unpack(packed: Buffer, entry: Entry, header: Unpacking, name: string): Promise<Uint8Array> {
  const { clusterBytes, compression } = header;
  const what = `compressed cluster (${compression})`;
  let made: Uint8Array;
  try {
    made = compression === 'zlib' ? await inflate(packed, clusterBytes) : unpackZstd(packed, clusterBytes);
  } catch (thrown) {
    throw diskError(name, what, entry.at, `a cluster of ${clusterBytes} bytes`, textOf(thrown));
  }
  if (made.length === clusterBytes) return made;
  throw diskError(name, what, entry.at, `a cluster of ${clusterBytes} bytes`, `${made.length} bytes`);
}

/**
 * A deflate stream without header and checksum. Node stops at the stream's end and passes over what follows; it stops
 * quietly too where the input ends early, which the length then shows.
 */
async function inflate(packed: Buffer, bytesMax: number): Promise<Uint8Array> {
  const options = { chunkSize: bytesMax, finishFlush: constants.Z_SYNC_FLUSH };
  try {
    return inflateRawSync(packed, { ...options, maxOutputLength: bytesMax });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw thrown;
  }
  // The stream makes more than a cluster: the rest of it is nobody's.
  const stream = createInflateRaw(options);
  stream.end(packed);
  const made: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    made.push(piece);
    bytes += piece.length;
    if (bytes >= bytesMax) break;
  }
  return Buffer.concat(made).subarray(0, bytesMax);
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
