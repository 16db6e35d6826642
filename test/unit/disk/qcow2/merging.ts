/** A merge as plain as can be, for tests of writers, and a file that loses power. */
import type { ByteRange } from '../../../../src/core/chunk.js';
import { type ChainLink, DiskChain } from '../../../../src/disk/chain.js';
import { diskError } from '../../../../src/disk/disk-bytes.js';
import { formatNamed, openImage, probeFormat } from '../../../../src/disk/formats.js';
import type { DiskBytes } from '../../../../src/disk/image.js';
import type { DiskFile } from '../../../../src/disk/image-writer.js';
import type { Seeded } from '../../../support/seeded.js';
import { chainBytes } from './images.js';

/** Makes the second link read as the first one does; `pieceBytes` is how much becomes visible at once. */
export async function merge(
  child: DiskBytes,
  base: DiskFile,
  below: readonly DiskBytes[] = [],
  pieceBytes = 1024 * 1024,
): Promise<void> {
  const links: ChainLink[] = [];
  for (const bytes of [child, base, ...below]) links.push({ bytes, image: await openImage(bytes) });
  const chain = new DiskChain(links as [ChainLink, ...ChainLink[]]);
  const writer = await (await formatNamed(await probeFormat(base))).openWriter?.(base);
  if (!writer) throw new Error('no writer');
  const unit = writer.unitBytes ?? 512;
  const ranges: ByteRange[] = [];
  let at = 0;
  for await (const { kind, length } of chain.links[0]?.image.allocation({ offset: 0, length: chain.size }) ?? []) {
    const offset = Math.floor(at / unit) * unit;
    const end = Math.min(writer.size, Math.ceil((at + length) / unit) * unit);
    if (kind !== 'absent' && offset < end) ranges.push({ offset, length: end - offset });
    at += length;
  }
  writer.begin(ranges);
  const step = Math.max(unit, Math.floor(pieceBytes / unit) * unit);
  for (const range of ranges) {
    for (let offset = range.offset; offset < range.offset + range.length; offset += step) {
      const length = Math.min(step, range.offset + range.length - offset);
      await mergePiece(chain, writer, base, { offset, length });
    }
  }
  writer.finish();
}

type Writer = NonNullable<Awaited<ReturnType<NonNullable<Awaited<ReturnType<typeof formatNamed>>['openWriter']>>>>;

async function mergePiece(chain: DiskChain, writer: Writer, base: DiskFile, range: ByteRange): Promise<void> {
  let at = range.offset;
  const runs: { kind: 'data' | 'zero'; offset: number; length: number }[] = [];
  for await (const { kind, length } of chain.runs(range)) {
    runs.push({ kind: kind === 'zero' ? 'zero' : 'data', offset: at, length });
    at += length;
  }
  const whole = await chainBytes(chain, range);
  const isMixed = writer.unitBytes !== undefined && runs.length > 1;
  for (const run of isMixed ? [{ kind: 'data' as const, ...range }] : runs) {
    let offset = run.offset;
    for (const place of writer.place(run, run.kind)) {
      const from = offset - range.offset;
      if (place.at !== undefined) base.write(place.at, whole.subarray(from, from + place.length));
      offset += place.length;
    }
  }
  base.flush();
  writer.publish();
}

export class PowerCut extends Error {}

/**
 * A file in memory that loses power at its nth call: what was flushed is there then, and of the sectors that were
 * written since, any.
 */
export class CuttableFile implements DiskFile {
  readonly name = 'cuttable';
  readonly #seeded: Seeded;
  #now: Buffer;
  #size: number;
  readonly #durable: Buffer;
  #loose: { at: number; bytes: Buffer }[] = [];
  #durableSize: number;
  #callsLeft: number;

  constructor(bytes: Buffer, seeded: Seeded, calls = Number.POSITIVE_INFINITY) {
    this.#now = Buffer.alloc(bytes.length * 4 + 2 ** 22);
    bytes.copy(this.#now);
    this.#durable = Buffer.from(this.#now);
    this.#size = bytes.length;
    this.#durableSize = bytes.length;
    this.#seeded = seeded;
    this.#callsLeft = calls;
  }

  get size(): number {
    return this.#size;
  }

  /** What is there after the cut; without one: all of it. */
  get left(): Buffer {
    return Buffer.from(this.#now.subarray(0, this.#size));
  }

  get callsLeft(): number {
    return this.#callsLeft;
  }

  readNow({ offset, length }: ByteRange, what: string): Buffer {
    if (offset < 0 || offset > this.#size - length) throw diskError(this.name, what, offset, `${length} bytes`, 'less');
    return Buffer.from(this.#now.subarray(offset, offset + length));
  }

  read = async (range: ByteRange, what: string): Promise<Buffer> => this.readNow(range, what);

  write(at: number, bytes: Uint8Array): void {
    this.#count();
    this.#now.set(bytes, at);
    this.#size = Math.max(this.#size, at + bytes.length);
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + 512 - ((at + from) % 512));
      this.#loose.push({ at: at + from, bytes: Buffer.from(bytes.subarray(from, to)) });
      from = to;
    }
  }

  flush(): void {
    this.#count();
    for (const { at, bytes } of this.#loose) this.#durable.set(bytes, at);
    this.#loose = [];
    this.#durableSize = this.#size;
  }

  setSize(bytes: number): void {
    this.#count();
    const { length } = this.#now;
    if (bytes < this.#size) this.#now.fill(0, Math.min(bytes, length), Math.min(this.#size, length));
    this.#size = bytes;
  }

  #count(): void {
    if (this.#callsLeft-- > 0) return;
    const kept = this.#loose.filter(() => this.#seeded.chance(0.5));
    for (const { at, bytes } of kept) this.#durable.set(bytes, at);
    this.#now = this.#durable;
    const ends = kept.map(({ at, bytes }) => at + bytes.length);
    this.#size = Math.max(this.#durableSize, ...ends);
    if (this.#seeded.chance(0.5)) this.#size = Math.max(this.#size, this.#durableSize);
    throw new PowerCut();
  }
}
