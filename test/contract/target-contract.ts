/** What every target promises (core/endpoint), as tests over a factory: any implementation must pass all of them. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import type {
  ChunkReader,
  CommitRequest,
  Location,
  PreparedTarget,
  Target,
  TargetLayout,
  TargetSite,
} from '../../src/core/endpoint.js';
import { KiB } from '../../src/core/units.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { codeOf, memorySource, never } from '../support/reading.js';
import { Seeded } from '../support/seeded.js';

export interface TargetUnderTest {
  readonly scheme: EndpointScheme;
  /** Where nothing is yet. */
  readonly location: Location;
  /** What stands under the target's name. */
  read(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  close?(): Promise<void>;
}

/** Bytes of the target. */
export const size = 300 * KiB + 77;
const bytes = new Seeded(3).bytes(size);
const commit = { overwrite: false, sync: true } as const;

async function write(target: Target, range: ByteRange, content = bytes, blockBytes = 64 * KiB): Promise<void> {
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

export function targetContract(name: string, make: () => Promise<TargetUnderTest>): void {
  describe(`${name} as a target`, () => {
    const made: TargetUnderTest[] = [];
    let under: TargetUnderTest;
    let scheme: Required<EndpointScheme>;
    /** Of a target that lays out what it gets: as its journal would keep it. */
    let layout: TargetLayout | undefined;
    beforeEach(async () => {
      under = await make();
      made.push(under);
      layout = undefined;
      scheme = under.scheme as Required<EndpointScheme>;
    });
    afterAll(async () => {
      for (const one of made) await one.close?.();
    });

    const locate = (): Promise<TargetSite> => scheme.locateTarget(under.location, 'disk.img');
    async function prepare(partial: 'create' | 'reopen'): Promise<{ prepared: PreparedTarget; target: Target }> {
      const site = await locate();
      if (site.laysOut) layout ??= await scheme.layOutTarget(memorySource(bytes), site.ref);
      const request = { size, partial, sync: true, ...(layout && { layout }) };
      const prepared = await scheme.prepareTarget(site.ref, request);
      return { prepared, target: await scheme.attachTarget(structuredClone(prepared.ref)) };
    }
    async function finish(target: Target, request: CommitRequest = commit): Promise<void> {
      await target.complete?.({ sync: true, readBack: false });
      await target.commit(request);
    }
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
      await write(target, { offset: 200 * KiB, length: size - 200 * KiB });
      await write(target, { offset: 0, length: 200 * KiB });
      await target.flush();
      expect(await under.read()).toBeUndefined();
      expect((await locate()).partial?.identity).toEqual(prepared.identity);
      await finish(target);
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
      const site = await locate();
      expect(site.partial).toBeUndefined();
      expect(site.existing).toEqual(prepared.identity);
    });

    test('writing a chunk twice is the same as writing it once', async () => {
      const { target } = await prepare('create');
      const range = { offset: 0, length: size };
      await write(target, range, Buffer.alloc(size, 0xee));
      await write(target, range, bytes, 10_001);
      await finish(target);
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    test('what was never written, passed over or made zero reads as zero', async () => {
      const { target, prepared } = await prepare('create');
      expect(prepared.zeroed).toBe(true);
      const writer = target.openChunk({ offset: 0, length: 3000 }, never);
      await writer.write(bytes.subarray(0, 1000));
      writer.skip(1000);
      await writer.write(bytes.subarray(2000, 3000));
      await writer.finish(new Uint8Array(8));
      await write(target, { offset: 100_000, length: 100_000 });
      await target.zero({ offset: 101_000, length: 50_001 });
      await finish(target);
      await target.close();
      const expected = Buffer.alloc(size);
      bytes.copy(expected, 0, 0, 1000);
      bytes.copy(expected, 2000, 2000, 3000);
      bytes.copy(expected, 100_000, 100_000, 101_000);
      bytes.copy(expected, 151_001, 151_001, 200_000);
      expect((await stands())?.equals(expected)).toBe(true);
    });

    test('what was written is read back, from a cache and past it, and its end is an end', async () => {
      const { target } = await prepare('create');
      await write(target, { offset: 0, length: size });
      await target.flush();
      const range = { offset: 4097, length: 123_456 };
      const expected = bytes.subarray(4097, 4097 + 123_456);
      expect((await readAll(target.openChunkBack(range, never))).equals(expected)).toBe(true);
      const past = target.openReadBack ? await readAll(target.openReadBack(range, never).reader) : expected;
      expect(past.equals(expected)).toBe(true);
      const short = await readAll(target.openChunkBack({ offset: size - 10, length: 100 }, never));
      expect(short.equals(bytes.subarray(size - 10))).toBe(true);
      await target.close();
    });

    test('partial data outlives its process, and is opened again as the same', async () => {
      const first = await prepare('create');
      await write(first.target, { offset: 0, length: 100_000 });
      await first.target.flush();
      await first.target.close();
      const second = await prepare('reopen');
      expect(second.prepared.identity).toEqual(first.prepared.identity);
      expect(second.prepared.zeroed).toBe(false);
      await write(second.target, { offset: 100_000, length: size - 100_000 });
      await finish(second.target);
      await second.target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    test('partial data that is there is never made anew, and what is not there is never opened again', async () => {
      expect(await codeOf(() => prepare('reopen'))).not.toBe('no error');
      const { target } = await prepare('create');
      await target.close();
      expect(await codeOf(() => prepare('create'))).not.toBe('no error');
    });

    test('discarding removes the partial data, and is harmless where there is none', async () => {
      const { target } = await prepare('create');
      await target.close();
      const { ref } = await locate();
      await scheme.discardPartial(ref);
      expect((await locate()).partial).toBeUndefined();
      await scheme.discardPartial(ref);
      await (await prepare('create')).target.close();
    });

    test('a commit replaces what stands there only when told to', async () => {
      const before = await prepare('create');
      await write(before.target, { offset: 0, length: size }, Buffer.alloc(size, 1));
      await finish(before.target);
      await before.target.close();
      const { target } = await prepare('create');
      await write(target, { offset: 0, length: size });
      expect(await codeOf(() => finish(target))).toBe('E_TARGET_EXISTS');
      expect((await stands())?.equals(Buffer.alloc(size, 1))).toBe(true);
      await finish(target, { ...commit, overwrite: true });
      await target.close();
      expect((await stands())?.equals(bytes)).toBe(true);
    });

    test('a commit that was cut short is told from one that never happened, by the identity of the part', async () => {
      const { target } = await prepare('create');
      await write(target, { offset: 0, length: size });
      const { ref } = await locate();
      await target.complete?.({ sync: true, readBack: true });
      const part = target.mark();
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
