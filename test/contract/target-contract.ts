/** What every target promises (core/endpoint), as tests over a factory: any implementation must pass all of them. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import type { ChunkReader, Location } from '../../src/core/endpoint.js';
import {
  type CommitRequest,
  openBack,
  type PreparedTarget,
  type Target,
  type TargetLayout,
  type TargetSite,
} from '../../src/core/target.js';
import { KiB } from '../../src/core/units.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { codeOf, memorySource, never } from '../support/reading.js';
import { Seeded } from '../support/seeded.js';

export interface TargetUnderTest {
  readonly scheme: EndpointScheme;
  /** Where nothing is yet. */
  readonly location: Location;
  /** Bytes of its smallest chunk but the last, where it takes whole chunks alone. */
  readonly chunkBytes?: number;
  /** It takes a file as one chunk alone. */
  readonly oneChunk?: true;
  /** What stands under the target's name. */
  read(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  close?(): Promise<void>;
}

/**
 * What a kind of target does not have: it takes whole chunks alone, it shows nothing of what is not committed, it
 * cannot tell its partial data without the journal, it does not know a commit that was cut short.
 */
type Lack = 'places' | 'reading-back' | 'seen-partial' | 'cut-commit';

/** Bytes of a target. */
export const size = 300 * KiB + 77;
const commit = { overwrite: false, sync: true } as const;

async function write(target: Target, range: ByteRange, content: Uint8Array, blockBytes = 64 * KiB): Promise<void> {
  const writer = target.openChunk(range, never);
  const end = range.offset + range.length;
  for (let at = range.offset; at < end; at += blockBytes) {
    await writer.write(content.subarray(at, Math.min(end, at + blockBytes)));
  }
  await writer.finish(new Uint8Array(8));
}

async function readAll(reader: ChunkReader): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const block = Buffer.alloc(50_000);
    const got = await reader.next(block);
    if (got === 0) break;
    parts.push(block.subarray(0, got));
  }
  reader.close();
  return Buffer.concat(parts);
}

/** `make` answers what the machine lacks when it cannot make the target. */
export function targetContract(
  name: string,
  make: () => Promise<TargetUnderTest | string>,
  lacks: readonly Lack[] = [],
): void {
  const testWith = (ability: Lack) => (lacks.includes(ability) ? () => undefined : test);
  describe(`${name} as a target`, () => {
    const made: TargetUnderTest[] = [];
    let under: TargetUnderTest;
    let bytes: Buffer;
    /** Where the target is cut into two chunks. */
    let cut: number;
    let size: number;
    let scheme: Required<EndpointScheme>;
    /** Of a target that lays out what it gets: as its journal would keep it. */
    let layout: TargetLayout | undefined;
    beforeEach(async (context) => {
      const one = await make();
      if (typeof one === 'string') return context.skip(one);
      under = one;
      made.push(under);
      layout = undefined;
      cut = under.chunkBytes ?? 200 * KiB;
      size = cut + 100 * KiB + 77;
      bytes = new Seeded(3).bytes(size);
      scheme = under.scheme as Required<EndpointScheme>;
    });
    afterAll(async () => {
      for (const one of made) await one.close?.();
    });

    const locate = (): Promise<TargetSite> => scheme.locateTarget(under.location, 'disk.img');
    async function prepare(partial: 'create' | 'reopen'): Promise<{ prepared: PreparedTarget; target: Target }> {
      const site = await locate();
      if (site.laysOut || site.partialOnRecord)
        layout ??= await scheme.layOutTarget(memorySource(bytes), site.ref, cut);
      const request = { size, partial, sync: true, ...(layout && { layout }) };
      const prepared = await scheme.prepareTarget(site.ref, request);
      return { prepared, target: await scheme.attachTarget(structuredClone(prepared.ref)) };
    }
    async function finish(target: Target, request: CommitRequest = commit): Promise<void> {
      await target.complete?.({ sync: true, readBack: false });
      await target.commit(request);
    }
    const chunks = (): ByteRange[] => {
      if (under.oneChunk) return [{ offset: 0, length: size }];
      return [
        { offset: 0, length: cut },
        { offset: cut, length: size - cut },
      ];
    };
    const stands = async (): Promise<Buffer | undefined> => {
      const read = await under.read();
      return read && Buffer.from(read);
    };

    test('looking at it changes nothing', async () => {
      const site = await locate();
      expect(site).toMatchObject({ publish: 'atomic' });
      expect(site.existing).toBeUndefined();
      expect(site.partial).toBeUndefined();
      expect(structuredClone(site.ref)).toEqual(site.ref);
      expect((await locate()).partial).toBeUndefined();
      expect(await under.read()).toBeUndefined();
    });

    test('chunks are written in any order, and are seen under the name only after the commit', async () => {
      const { target, prepared } = await prepare('create');
      for (const range of chunks().reverse()) await write(target, range, bytes);
      await target.flush();
      expect(await under.read()).toBeUndefined();
      if (!lacks.includes('seen-partial')) expect((await locate()).partial?.identity).toEqual(prepared.identity);
      await finish(target);
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
      const site = await locate();
      expect(site.partial).toBeUndefined();
      expect(site.existing).toBeDefined();
    });

    test('writing a chunk twice is the same as writing it once', async () => {
      const { target } = await prepare('create');
      for (const range of chunks()) await write(target, range, Buffer.alloc(size, 0xee));
      for (const range of chunks()) await write(target, range, bytes, 10_001);
      await finish(target);
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    testWith('places')('what was never written, passed over or made zero reads as zero', async () => {
      const { target, prepared } = await prepare('create');
      expect(prepared.zeroed).toBe(true);
      const writer = target.openChunk({ offset: 0, length: 3000 }, never);
      await writer.write(bytes.subarray(0, 1000));
      writer.skip(1000);
      await writer.write(bytes.subarray(2000, 3000));
      await writer.finish(new Uint8Array(8));
      await write(target, { offset: 100_000, length: 100_000 }, bytes);
      await target.zero?.({ offset: 101_000, length: 50_001 });
      await finish(target);
      await target.close();
      const expected = Buffer.alloc(size);
      bytes.copy(expected, 0, 0, 1000);
      bytes.copy(expected, 2000, 2000, 3000);
      bytes.copy(expected, 100_000, 100_000, 101_000);
      bytes.copy(expected, 151_001, 151_001, 200_000);
      expect((await stands())?.equals(expected)).toBe(true);
    });

    testWith('reading-back')('what was written is read back, and its end is an end', async () => {
      const { target } = await prepare('create');
      await write(target, { offset: 0, length: size }, bytes);
      await target.flush();
      const range = { offset: 4097, length: 123_456 };
      const expected = bytes.subarray(4097, 4097 + 123_456);
      expect((await readAll(openBack(target, range, never))).equals(expected)).toBe(true);
      const past = target.openReadBack ? await readAll(target.openReadBack(range, never).reader) : expected;
      expect(past.equals(expected)).toBe(true);
      const short = await readAll(openBack(target, { offset: size - 10, length: 100 }, never));
      expect(short.equals(bytes.subarray(size - 10))).toBe(true);
      await target.close();
    });

    test('partial data outlives its process, and is opened again as the same', async () => {
      const first = await prepare('create');
      const [begin, ...rest] = chunks() as [ByteRange, ...ByteRange[]];
      await write(first.target, begin, bytes);
      await first.target.flush();
      await first.target.close();
      const second = await prepare('reopen');
      expect(second.prepared.identity).toEqual(first.prepared.identity);
      expect(second.prepared.zeroed).toBe(false);
      for (const range of rest) await write(second.target, range, bytes);
      await finish(second.target);
      await second.target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    test('partial data that is there is never made anew, and what is not there is never opened again', async () => {
      if (!lacks.includes('seen-partial')) expect(await codeOf(() => prepare('reopen'))).not.toBe('no error');
      const { target } = await prepare('create');
      await target.close();
      if (!lacks.includes('seen-partial')) expect(await codeOf(() => prepare('create'))).not.toBe('no error');
    });

    test('discarding removes the partial data, and is harmless where there is none', async () => {
      const { target } = await prepare('create');
      await target.close();
      const { ref } = await locate();
      await scheme.discardPartial(ref, layout);
      expect((await locate()).partial).toBeUndefined();
      await scheme.discardPartial(ref, layout);
      expect(await codeOf(() => prepare('reopen'))).not.toBe('no error');
      layout = undefined;
      await (await prepare('create')).target.close();
    });

    test('a commit replaces what stands there only when told to', async () => {
      const before = await prepare('create');
      for (const range of chunks()) await write(before.target, range, Buffer.alloc(size, 1));
      await finish(before.target);
      await before.target.close();
      layout = undefined;
      const { target } = await prepare('create');
      for (const range of chunks()) await write(target, range, bytes);
      expect(await codeOf(() => finish(target))).toBe('E_TARGET_EXISTS');
      expect((await stands())?.equals(Buffer.alloc(size, 1))).toBe(true);
      await finish(target, { ...commit, overwrite: true });
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    testWith('cut-commit')('a commit that was cut short is told from one that never happened', async () => {
      const { target } = await prepare('create');
      for (const range of chunks()) await write(target, range, bytes);
      const { ref } = await locate();
      await target.complete?.({ sync: true, readBack: true });
      const part = await target.mark();
      expect(await scheme.finishCommit(ref, part, commit)).toBe(false);
      await target.commit(commit);
      await target.close();
      expect(await scheme.finishCommit(ref, { ...part, inode: '0' }, commit)).toBe(false);
      expect(await scheme.finishCommit(ref, { ...part, mtimeNs: '-1' }, commit)).toBe(false);
      expect(await scheme.finishCommit(ref, part, commit)).toBe(true);
      expect(await scheme.finishCommit(ref, part, commit)).toBe(true);
      expect((await stands())?.equals(bytes)).toBe(true);
    });
  });
}
