/** A qcow2 image, version 2 or 3, of any cluster size, as a {@link DiskImage}: reading, from any thread. */
import { diskError } from '../disk-bytes.js';
import type { Allocation, DiskBytes, DiskImage, ImageRef, Run } from '../image.js';
import { unpack } from './compressed.js';
import { parseHeader, type Qcow2Header, readFirstCluster } from './header.js';
import { type Span, type SpanSource, spans } from './spans.js';
import { L2Tables, readL1 } from './tables.js';

export interface Qcow2Ref extends ImageRef {
  readonly format: 'qcow2';
  readonly header: Qcow2Header;
  /** Places of the L2 tables, in shared memory. */
  readonly l1: Float64Array<SharedArrayBuffer>;
}

/** @throws TransferError E_DISK_FORMAT naming structure and offset */
export async function openQcow2(bytes: DiskBytes): Promise<DiskImage> {
  const header = parseHeader(await readFirstCluster(bytes), bytes.name);
  return qcow2Image({ format: 'qcow2', header, l1: await readL1(bytes, header) }, bytes);
}

export function attachQcow2(ref: ImageRef, bytes: DiskBytes): DiskImage {
  if (ref.format !== 'qcow2') throw diskError(bytes.name, 'format', 0, 'qcow2', ref.format);
  return qcow2Image(ref as Qcow2Ref, bytes);
}

function qcow2Image(ref: Qcow2Ref, bytes: DiskBytes): DiskImage {
  const { header } = ref;
  const source: SpanSource = {
    name: bytes.name,
    fileBytes: bytes.size,
    header,
    tables: new L2Tables(bytes, header, ref.l1),
  };
  return {
    ref,
    format: 'qcow2',
    kind: header.parent ? 'differencing' : 'dynamic',
    size: header.size,
    blockBytes: header.clusterBytes,
    ...(header.parent && { parent: header.parent }),
    facts: factsOf(header),
    async *runs(range) {
      for await (const span of spans(source, range)) yield runOf(span, header, bytes);
    },
    allocation: (range) => joinedKinds(spans({ ...source, anyPlace: true }, range)),
  };
}

function factsOf({ version, compression, snapshots, dirty, corrupt }: Qcow2Header): NonNullable<DiskImage['facts']> {
  const state = corrupt ? 'marked corrupt' : dirty ? 'marked dirty: it was not closed, or is in use' : undefined;
  return {
    version: `${version}${compression === 'zstd' ? ', compressed by zstd' : ''}`,
    ...(snapshots > 0 && { snapshots: `${snapshots} internal, which are no part of what is read` }),
    ...(state && { state }),
  };
}

function runOf(span: Span, header: Qcow2Header, bytes: DiskBytes): Run {
  if (span.kind !== 'compressed') return span;
  const { entry, skip, length } = span;
  const make = async (): Promise<Uint8Array> => {
    // The last sector may be cut short by the end of the file.
    const packedBytes = Math.max(0, Math.min(entry.bytes, bytes.size - entry.at));
    const range = { offset: entry.at, length: packedBytes || entry.bytes };
    const packed = await bytes.read(range, 'compressed cluster');
    return (await unpack(packed, entry, header, bytes.name)).subarray(skip, skip + length);
  };
  return { kind: 'made', length, make };
}

async function* joinedKinds(source: AsyncIterable<Span>): AsyncGenerator<Allocation> {
  let open: { kind: Allocation['kind']; length: number } | undefined;
  for await (const span of source) {
    const kind = span.kind === 'compressed' ? 'data' : span.kind;
    if (open?.kind === kind) {
      open.length += span.length;
      continue;
    }
    if (open) yield open;
    open = { kind, length: span.length };
  }
  if (open) yield open;
}
