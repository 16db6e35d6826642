/** One image of the corpus, to be damaged again and again. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { pid } from 'node:process';
import type { ByteRange } from '../../src/core/chunk.js';
import { MiB } from '../../src/core/units.js';
import type { ChainLink, DiskChain } from '../../src/disk/chain.js';
import { openImage } from '../../src/disk/formats.js';
import { type OpenFile, openFile } from '../support/disk-content.js';
import type { CorpusImage, CorpusLink } from '../support/disk-corpus.js';
import { type Oracle, qemu, qemuContent, qemuSize } from '../support/disk-oracle.js';
import { Seeded } from '../support/seeded.js';
import { SparseContent } from '../support/sparse-content.js';
import { type Anatomy, anatomyOf } from './anatomy.js';
import { failure, judge, type Verdict } from './judge.js';
import { judgeWriter } from './judge-writer.js';
import { mutate } from './mutate.js';
import { BaseFile, Overlay, SECTOR } from './overlay.js';
import { plainVhdContent } from './plain-vhd.js';

export interface Outcome extends Verdict {
  /** What was done to the image. */
  readonly damage: string;
}

/** Of a disk whose size is not what it was, so much is compared from its beginning. */
const WINDOW_BYTES = 8 * MiB;
const WINDOWS_MAX = 64;

export class FuzzSubject {
  readonly #child: CorpusLink;
  readonly #content: SparseContent;
  readonly #base: BaseFile;
  readonly #anatomy: Anatomy;
  readonly #files: readonly OpenFile[];
  readonly #under: readonly ChainLink[];
  readonly #parentName: string;

  private constructor(
    { links: [child, parent], content }: CorpusImage,
    files: readonly OpenFile[],
    under: readonly ChainLink[],
  ) {
    this.#child = child as CorpusLink;
    this.#content = content;
    this.#base = new BaseFile(this.#child.path);
    this.#anatomy = anatomyOf(this.#base, content);
    this.#files = files;
    this.#under = under;
    this.#parentName = parent ? basename(parent.path) : '';
  }

  static async open(image: CorpusImage): Promise<FuzzSubject> {
    const under: ChainLink[] = [];
    const files: OpenFile[] = [];
    for (const { path, format } of image.links.slice(1)) {
      const file = openFile(path);
      files.push(file);
      under.push({ bytes: file.bytes, image: await openImage(file.bytes, format) });
    }
    return new FuzzSubject(image, files, under);
  }

  async run(seed: number): Promise<Outcome> {
    const { file, damage } = this.#damaged(seed);
    const { format } = this.#child;
    const verdict = await judge({
      bytes: file.bytes(),
      format,
      under: this.#under,
      parentName: this.#parentName,
      content: this.#content,
      changed: this.#changed(file),
      theirs: [
        (chain) => this.#byQemu(file, chain),
        ({ size }) => this.#by7zip(file, size),
        ...(format === 'vhd' ? [async () => plainVhdContent(file)] : []),
      ],
    });
    if (verdict.kind === 'failed') return { ...verdict, damage };
    const written = await this.#judgeWriter(seed);
    return { ...(written.kind === 'failed' ? written : verdict), damage };
  }

  async #judgeWriter(seed: number): Promise<Verdict> {
    const chance = new Seeded(~seed);
    const file = chance.chance(0.1) ? new Overlay(this.#base) : this.#damaged(seed).file;
    return judgeWriter({ file, format: this.#child.format, under: this.#under }, chance).catch(failure);
  }

  #damaged(seed: number): { readonly file: Overlay; readonly damage: string } {
    const file = new Overlay(this.#base);
    const damage = mutate({ file, format: this.#child.format, anatomy: this.#anatomy }, new Seeded(seed));
    return { file, damage };
  }

  /** Writes the damaged image to a file. */
  save(seed: number, path: string): void {
    this.#damaged(seed).file.save(path);
  }

  close(): void {
    this.#base.close();
    for (const { close } of this.#files) close();
  }

  /** The content, with what became of those sectors that hold bytes of the guest. */
  #changed(file: Overlay): SparseContent {
    let content = this.#content;
    for (const at of file.written) {
      const guest = this.#anatomy.payload.get(at);
      if (guest !== undefined) content = content.patched(guest, file.read({ offset: at, length: SECTOR }));
    }
    return content;
  }

  async #byQemu(file: Overlay, chain: DiskChain): Promise<SparseContent> {
    const path = this.#write(file);
    try {
      const oracle: Oracle = { folder: dirname(path), path: basename(path), format: this.#child.qemuFormat };
      // It reads no VHDX with a log; its check replays it.
      if (oracle.format === 'vhdx') qemu('qemu-img', oracle.folder, 'check', '-q', '-r', 'all', oracle.path);
      const theirSize = qemuSize(oracle);
      return qemuContent(oracle, theirSize, await this.#windows(chain, Math.min(chain.size, theirSize)));
    } finally {
      rmSync(path);
    }
  }

  async #by7zip(file: Overlay, size: number): Promise<SparseContent> {
    if (size > WINDOW_BYTES) throw new Error('too large to be unpacked');
    const path = this.#write(file);
    try {
      const bytes = execFileSync('7zz', ['e', '-so', path], { maxBuffer: 2 * WINDOW_BYTES, stdio: 'pipe' });
      return SparseContent.of(bytes.length, [{ offset: 0, bytes }]);
    } finally {
      rmSync(path);
    }
  }

  #write(file: Overlay): string {
    const path = join(dirname(this.#child.path), `damaged-${pid}${extname(this.#child.path)}`);
    file.save(path);
    return path;
  }

  /** The beginning, where there was something, and where there is something now. */
  async #windows(chain: DiskChain, size: number): Promise<readonly ByteRange[]> {
    const extents = this.#content.stretches.map(({ offset, bytes }) => ({ offset, length: bytes.length }));
    let offset = 0;
    for await (const { kind, length } of chain.allocation({ offset: 0, length: size })) {
      if (kind === 'data' && extents.length < WINDOWS_MAX)
        extents.push({ offset, length: Math.min(length, WINDOW_BYTES) });
      offset += length;
    }
    let end = Math.min(size, WINDOW_BYTES);
    const windows: ByteRange[] = [{ offset: 0, length: end }];
    for (const extent of extents.sort((one, other) => one.offset - other.offset)) {
      const from = Math.max(end, extent.offset);
      const to = Math.min(size, extent.offset + extent.length);
      if (to > from) windows.push({ offset: from, length: to - from });
      end = Math.max(end, to);
    }
    return windows;
  }
}
