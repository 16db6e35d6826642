/** Every kind of image that QEMU makes, compared with what QEMU says of it: content, allocation and places. */
import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../../src/core/chunk.js';
import { type ChainLink, DiskChain } from '../../../src/disk/chain.js';
import { attachImage, formatNamed, probeFormat } from '../../../src/disk/formats.js';
import type { Finding } from '../../../src/disk/image.js';
import { withChain } from '../../support/disk-chain.js';
import { allocationDifference, contentDifference, difference, openFile, wholeOf } from '../../support/disk-content.js';
import { type CorpusImage, diskCorpus, hasQemuImg } from '../../support/disk-corpus.js';
import { type Recipe, recipes } from '../../support/disk-recipes.js';
import { Seeded } from '../../support/seeded.js';

const names = recipes.map(({ name }, index) => [name, index] as const);
/** Of VHDX and of fixed VHD qemu-img map says that all is data. */
const mapped = names.filter(([, index]) => {
  const { format, backing, options } = recipes[index] as Recipe;
  return ['vpc', 'qcow2'].includes(format) && backing?.format !== 'vhdx' && !options?.includes('fixed');
});

describe.skipIf(!hasQemuImg)(`images of qemu-img${hasQemuImg ? '' : ' (skipped: qemu-img is not installed)'}`, () => {
  let corpus: readonly CorpusImage[] = [];
  const at = (index: number): CorpusImage => corpus[index] as CorpusImage;

  beforeAll(() => {
    corpus = diskCorpus();
  });

  test.each(names)('%s: its content is what QEMU reads', async (_, index) => {
    const { content } = at(index);
    await withChain(at(index), async (chain) => {
      expect(await contentDifference(chain, content)).toBeUndefined();
    });
  });

  test.each(names)(
    '%s: any range of it comes without gaps, and nothing is called zero that is not',
    async (_, index) => {
      const { content } = at(index);
      await withChain(at(index), async (chain) => {
        expect(await allocationDifference(chain, content)).toBeUndefined();
        for (const range of someRanges(content.size, new Seeded(index))) {
          expect(await difference(chain, content, range)).toBeUndefined();
          expect(await allocationDifference(chain, content, range)).toBeUndefined();
        }
      });
    },
  );

  test.each(names)(
    '%s: another thread has the same image from its ref, and reads nothing for that',
    async (_, index) => {
      const { content } = at(index);
      await withChain(at(index), async ({ links }) => {
        const attached: ChainLink[] = [];
        for (const { image, bytes } of links) {
          const unread = { ...bytes, read: () => Promise.reject(new Error('attach reads')) };
          const again = await attachImage(structuredClone(image.ref), unread);
          expect(again).toMatchObject({ format: image.format, kind: image.kind, size: image.size });
          expect([again.blockBytes, again.identity, again.parent]).toEqual([
            image.blockBytes,
            image.identity,
            image.parent,
          ]);
          attached.push({ image: await attachImage(structuredClone(image.ref), bytes), bytes });
        }
        const chain = new DiskChain(attached as [ChainLink, ...ChainLink[]]);
        expect(await contentDifference(chain, content)).toBeUndefined();
      });
    },
  );

  test.each(names)('%s: nothing is wrong with it', async (_, index) => {
    for (const { path, format } of at(index).links) {
      const { bytes, close } = openFile(path);
      const found: Finding[] = [];
      await (await formatNamed(format)).check(bytes, { add: (finding) => found.push(finding) });
      close();
      expect(found.filter(({ severity }) => severity === 'wrong')).toEqual([]);
    }
  });

  test.each(names)('%s: the file says what it is', async (_, index) => {
    for (const { path, format } of at(index).links) {
      const { bytes, close } = openFile(path);
      expect(await probeFormat(bytes)).toBe(format);
      close();
    }
  });

  test.for(mapped)(
    '%s: what is allocated, where, and by which image is what qemu-img map says',
    async ([_, index], context) => {
      await withChain(at(index), async (chain) => {
        const isRaw = (link: number): boolean => chain.links[link]?.image.format === 'raw';
        if (chain.links.some(({ bytes }, link) => isRaw(link) && !bytes.extents))
          context.skip('holes of files are not known here');
        const theirs = mapOf(at(index)).filter(({ length }) => length > 0);
        expect(await allocated(chain)).toEqual(
          joined(theirs.map(({ start, length, data }) => ({ start, length, data }))),
        );
        // Where bytes of a raw disk stand is known, holes or not.
        expect(await places(chain)).toEqual(
          joined(theirs.filter(({ data, depth }) => data || isRaw(depth)).map(placeOf)),
        );
      });
    },
  );
});

function someRanges(size: number, seeded: Seeded): readonly ByteRange[] {
  const sectors = Math.ceil(size / 512);
  return Array.from({ length: sectors === 0 ? 0 : 25 }, () => {
    const first = seeded.int(0, sectors - 1);
    const last = Math.min(sectors - 1, first + seeded.int(0, seeded.pick([0, 7, 300, 5000])));
    return { offset: first * 512, length: Math.min(size, (last + 1) * 512) - first * 512 };
  });
}

/** `qemu-img map --output=json`. */
interface Mapped {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly data: boolean;
  readonly zero: boolean;
  readonly offset?: number;
}

function mapOf({ links: [link] }: CorpusImage): readonly Mapped[] {
  const args = ['map', '--output=json', '-f', link?.qemuFormat ?? '', link?.path ?? ''];
  return JSON.parse(execFileSync('qemu-img', args, { encoding: 'utf8' }));
}

type Stretch = Readonly<Record<string, unknown>> & { readonly start: number; readonly length: number };

interface Place extends Stretch {
  readonly depth: number;
  /** The offset in the file of what would stand at guest offset 0. Absent: the bytes are not there as they are. */
  readonly shift?: number;
}

const placeOf = ({ start, length, depth, offset }: Mapped): Place => ({
  start,
  length,
  depth,
  ...(offset !== undefined && { shift: offset - start }),
});

/** Neighbours that say the same, as one. */
function joined(stretches: readonly Stretch[]): readonly Stretch[] {
  const result: Stretch[] = [];
  for (const one of stretches) {
    const last = result.at(-1);
    const goesOn = last && last.start + last.length === one.start && sameBut(last, one);
    if (goesOn) result[result.length - 1] = { ...last, length: last.length + one.length };
    else result.push(one);
  }
  return result;
}

function sameBut({ start: _, length: __, ...one }: Stretch, { start: ___, length: ____, ...other }: Stretch): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

async function allocated(chain: DiskChain): Promise<readonly Stretch[]> {
  const found: Stretch[] = [];
  let start = 0;
  for await (const { kind, length } of chain.allocation(wholeOf(chain))) {
    found.push({ start, length, data: kind === 'data' });
    start += length;
  }
  return joined(found);
}

async function places(chain: DiskChain): Promise<readonly Stretch[]> {
  const found: Place[] = [];
  let start = 0;
  for await (const run of chain.runs(wholeOf(chain))) {
    const { length } = run;
    if (run.kind === 'data') found.push({ start, length, depth: run.link, shift: run.at - start });
    if (run.kind === 'made') found.push({ start, length, depth: 0 });
    start += length;
  }
  return joined(found);
}
