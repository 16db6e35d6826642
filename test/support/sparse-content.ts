/** What a guest must see of a disk of any size: the stretches that are not zero, with their bytes. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { ByteRange } from '../../src/core/chunk.js';

const UNIT_BYTES = 4096;

export interface Stretch {
  readonly offset: number;
  readonly bytes: Buffer;
}

export class SparseContent {
  readonly size: number;
  /** In order, and apart from each other. */
  readonly stretches: readonly Stretch[];

  constructor(size: number, stretches: readonly Stretch[]) {
    this.size = size;
    this.stretches = stretches;
  }

  /** The bytes from `offset` on are those of `bytes`; units of zeroes take no memory. */
  static of(size: number, parts: readonly Stretch[]): SparseContent {
    return new SparseContent(size, parts.flatMap(withoutZeros));
  }

  static load(path: string): SparseContent {
    const bytes = readFileSync(path);
    const headBytes = bytes.readUInt32LE(0);
    const { size, places } = JSON.parse(bytes.toString('utf8', 4, 4 + headBytes)) as Head;
    let at = 4 + headBytes;
    const stretches = places.map(({ offset, length }) => {
      at += length;
      return { offset, bytes: bytes.subarray(at - length, at) };
    });
    return new SparseContent(size, stretches);
  }

  save(path: string): void {
    const places = this.stretches.map(({ offset, bytes }) => ({ offset, length: bytes.length }));
    const head = Buffer.from(JSON.stringify({ size: this.size, places } satisfies Head));
    const headBytes = Buffer.alloc(4);
    headBytes.writeUInt32LE(head.length);
    writeFileSync(path, Buffer.concat([headBytes, head, ...this.stretches.map(({ bytes }) => bytes)]));
  }

  slice({ offset, length }: ByteRange): Buffer {
    const into = Buffer.alloc(length);
    for (const stretch of this.#within({ offset, length })) {
      const skip = Math.max(0, offset - stretch.offset);
      stretch.bytes.copy(into, Math.max(0, stretch.offset - offset), skip);
    }
    return into;
  }

  isZero(range: ByteRange): boolean {
    return this.#within(range).length === 0 || this.#within(range).every((stretch) => zeroIn(stretch, range));
  }

  /** The same with other bytes in one place. */
  patched(offset: number, bytes: Buffer): SparseContent {
    const start = offset - (offset % UNIT_BYTES);
    const length = Math.min(this.size - start, Math.ceil((offset + bytes.length - start) / UNIT_BYTES) * UNIT_BYTES);
    const unit = this.slice({ offset: start, length });
    bytes.copy(unit, offset - start);
    const [before, after] = [
      { offset: 0, length: start },
      { offset: start + length, length: this.size - start - length },
    ];
    const kept = (range: ByteRange): Stretch[] => this.#within(range).map((stretch) => cut(stretch, range));
    return new SparseContent(this.size, [...kept(before), { offset: start, bytes: unit }, ...kept(after)]);
  }

  #within({ offset, length }: ByteRange): readonly Stretch[] {
    return this.stretches.filter((one) => one.offset < offset + length && one.offset + one.bytes.length > offset);
  }
}

interface Head {
  readonly size: number;
  readonly places: readonly ByteRange[];
}

function cut(stretch: Stretch, { offset, length }: ByteRange): Stretch {
  const from = Math.max(offset, stretch.offset);
  const to = Math.min(offset + length, stretch.offset + stretch.bytes.length);
  return { offset: from, bytes: stretch.bytes.subarray(from - stretch.offset, to - stretch.offset) };
}

const zeroIn = (stretch: Stretch, range: ByteRange): boolean => isZero(cut(stretch, range).bytes);

export function isZero(bytes: Uint8Array): boolean {
  return bytes.length === 0 || Buffer.alloc(bytes.length).equals(bytes);
}

function withoutZeros({ offset, bytes }: Stretch): Stretch[] {
  const found: { offset: number; length: number }[] = [];
  for (let at = 0; at < bytes.length; at += UNIT_BYTES) {
    const length = Math.min(UNIT_BYTES, bytes.length - at);
    if (isZero(bytes.subarray(at, at + length))) continue;
    const last = found.at(-1);
    if (last && last.offset + last.length === at) last.length += length;
    else found.push({ offset: at, length });
  }
  return found.map((one) => ({
    offset: offset + one.offset,
    bytes: bytes.subarray(one.offset, one.offset + one.length),
  }));
}
