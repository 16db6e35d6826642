/** What a disk has allocated, as a list of extents and as a fixed number of cells, for pictures. */
import type { ChainAllocation, DiskChain } from './chain.js';
import type { DiskImage } from './image.js';

/** More are counted in the cells and sums, and not listed. */
const EXTENTS_MAX = 100_000;
const CELLS_MAX = 65_536;
const CELL_BYTES_MIN = 512;

/** One run of the disk. */
export interface DiskExtent {
  readonly offset: number;
  readonly length: number;
  /** `absent`: left to a parent that was not looked at. */
  readonly kind: 'data' | 'zero' | 'absent';
  /** Which image says so: 0 the one that was asked about, 1 its parent. Absent: none has anything there. */
  readonly image?: number;
}

/** A cell of the picture: how much of it is data, by image, and what the most of it is. */
export interface DiskMapCell {
  /** From 0 to 1. */
  readonly dataShare: number;
  /** Which image holds most of the data; absent: there is none. */
  readonly image?: number;
  /** There is no data, and this image says zero; or nobody says anything. */
  readonly kind: 'data' | 'zero' | 'absent' | 'none';
}

export interface DiskMap {
  readonly size: number;
  /** From the image to its base. */
  readonly images: readonly string[];
  readonly extents: readonly DiskExtent[];
  /** Extents that are not listed. */
  readonly more: number;
  /** Bytes that each image gives to the disk as data. */
  readonly dataBytes: readonly number[];
  /** Bytes that are known to be zero, without being data. */
  readonly zeroBytes: number;
  /** Bytes of the disk that a cell stands for; the last may stand for less. */
  readonly cellBytes: number;
  readonly cells: readonly DiskMapCell[];
}

type Told = ChainAllocation | { readonly kind: 'absent'; readonly length: number; readonly link?: undefined };

export function mapChain(chain: DiskChain, names: readonly string[], cells: number): Promise<DiskMap> {
  return mapped(chain.allocation({ offset: 0, length: chain.size }), { size: chain.size, names, cells });
}

/** The image without its parents. */
export function mapAlone(image: DiskImage, name: string, cells: number): Promise<DiskMap> {
  const { size } = image;
  return mapped(withLink(image), { size, names: [name], cells });
}

async function* withLink(image: DiskImage): AsyncGenerator<Told> {
  for await (const { kind, length } of image.allocation({ offset: 0, length: image.size })) {
    yield kind === 'absent' ? { kind, length } : { kind, length, link: 0 };
  }
}

interface About {
  readonly size: number;
  readonly names: readonly string[];
  readonly cells: number;
}

async function mapped(runs: AsyncIterable<Told>, { size, names, cells }: About): Promise<DiskMap> {
  const picture = new Picture(size, names.length, Math.max(1, Math.min(CELLS_MAX, cells)));
  const extents: DiskExtent[] = [];
  const dataBytes = names.map(() => 0);
  let [more, zeroBytes, offset] = [0, 0, 0];
  for await (const run of joined(runs)) {
    const { kind, length, link } = run;
    if (extents.length === EXTENTS_MAX) more++;
    else extents.push({ offset, length, kind, ...(link !== undefined && { image: link }) });
    if (kind === 'data' && link !== undefined) dataBytes[link] = (dataBytes[link] ?? 0) + length;
    if (kind === 'zero') zeroBytes += length;
    picture.add(run, offset);
    offset += length;
  }
  const { cellBytes } = picture;
  return { size, images: names, extents, more, dataBytes, zeroBytes, cellBytes, cells: picture.cells() };
}

async function* joined(runs: AsyncIterable<Told>): AsyncGenerator<Told> {
  let last: Told | undefined;
  for await (const run of runs) {
    if (run.length === 0) continue;
    if (last && last.kind === run.kind && last.link === run.link) last = { ...last, length: last.length + run.length };
    else {
      if (last) yield last;
      last = run;
    }
  }
  if (last) yield last;
}

class Picture {
  /** A power of two, so that people can count. */
  readonly cellBytes: number;
  readonly #count: number;
  readonly #size: number;
  readonly #kinds: number;
  /** For each cell, bytes of data of each image, then of told zero, then of absent. */
  readonly #bytes: Float64Array;

  constructor(size: number, images: number, cells: number) {
    let cellBytes = CELL_BYTES_MIN;
    while (size / cellBytes > cells) cellBytes *= 2;
    this.cellBytes = cellBytes;
    this.#size = size;
    this.#count = Math.ceil(size / cellBytes);
    this.#kinds = images + 2;
    this.#bytes = new Float64Array(this.#count * this.#kinds);
  }

  add({ kind, length, link }: Told, offset: number): void {
    const zero = this.#kinds - 2;
    const column = kind === 'data' ? (link ?? 0) : kind === 'absent' ? zero + 1 : link === undefined ? undefined : zero;
    if (column === undefined) return;
    const end = offset + length;
    for (let cell = Math.floor(offset / this.cellBytes); cell < this.#count; cell++) {
      const [from, to] = [cell * this.cellBytes, (cell + 1) * this.cellBytes];
      if (from >= end) break;
      const at = cell * this.#kinds + column;
      this.#bytes[at] = (this.#bytes[at] ?? 0) + Math.max(0, Math.min(end, to) - Math.max(offset, from));
    }
  }

  cells(): DiskMapCell[] {
    return Array.from({ length: this.#count }, (_, cell) => {
      const bytes = this.#bytes.subarray(cell * this.#kinds, (cell + 1) * this.#kinds);
      const data = bytes.subarray(0, -2);
      const sum = data.reduce((total, one) => total + one, 0);
      if (sum > 0)
        return {
          dataShare: sum / Math.min(this.cellBytes, this.#size - cell * this.cellBytes),
          image: data.indexOf(Math.max(...data)),
          kind: 'data',
        };
      const kind = (bytes.at(-1) ?? 0) > 0 ? 'absent' : (bytes.at(-2) ?? 0) > 0 ? 'zero' : 'none';
      return { dataShare: 0, kind };
    });
  }
}
