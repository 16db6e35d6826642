/** What every source promises (core/endpoint), as tests over a factory: any implementation must pass all of them. */
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import type { Location, Source } from '../../src/core/endpoint.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { codeOf, never, readChunk, readOn } from '../support/reading.js';

export interface SourceUnderTest {
  readonly scheme: EndpointScheme;
  readonly location: Location;
  /** What it has to read as; more than 600 KiB. */
  readonly bytes: Uint8Array;
  /** A location where there is nothing. */
  readonly missing?: Location;
  /** Replaces the content by another of the same size. */
  change?(): Promise<void>;
  close?(): Promise<void>;
}

/** What a kind of source does not have: it tells no extents, is never missing, never changes. */
type Lack = 'extents' | 'missing' | 'change';

/** `make` answers what the machine lacks when it cannot make the source. */
export function sourceContract(
  name: string,
  make: () => Promise<SourceUnderTest | string>,
  lacks: readonly Lack[] = [],
): void {
  const testWith = (ability: Lack) => (lacks.includes(ability) ? () => undefined : test);
  describe(`${name} as a source`, () => {
    let under: SourceUnderTest;
    let obstacle = '';
    beforeAll(async () => {
      const made = await make();
      if (typeof made === 'string') obstacle = made;
      else under = made;
    });
    afterAll(() => under?.close?.());

    /** Opens the source; ends the test where this machine cannot have it. */
    async function opened(context: TestContext): Promise<Source> {
      context.skip(obstacle !== '', obstacle);
      const source = await under.scheme.openSource?.(under.location);
      if (!source) throw new Error('the scheme opens no sources');
      context.onTestFinished(() => source.close());
      return source;
    }
    const expectBytes = (got: Buffer, { offset, length }: ByteRange): void =>
      expect(got.equals(under.bytes.subarray(offset, offset + length))).toBe(true);

    test('it knows its size, and has a name without secrets', async (context) => {
      const source = await opened(context);
      expect(source.size).toBe(under.bytes.length);
      expect(source.name).not.toBe('');
    });

    test('any chunk is read in any order, any number of times', async (context) => {
      const source = await opened(context);
      const ranges = [
        { offset: 300_001, length: 200_000 },
        { offset: 0, length: 100_000 },
        { offset: source.size - 1, length: 1 },
        { offset: 300_001, length: 200_000 },
        { offset: source.size - 70_000, length: 70_000 },
      ];
      for (const range of ranges) expectBytes(await readChunk(source, range), range);
    });

    test('a block is filled whole, whatever its size, except at the end of the range', async (context) => {
      const source = await opened(context);
      const range = { offset: 4097, length: 150_000 };
      for (const blockBytes of [1000, 4096, 65_536, 150_000])
        expectBytes(await readChunk(source, range, blockBytes), range);
      const reader = source.openChunk({ offset: 10, length: 100 }, never);
      expect(await reader.next(new Uint8Array(1000))).toBe(100);
      reader.close();
    });

    test('readers that are open at the same time do not disturb each other', async (context) => {
      const source = await opened(context);
      const ranges = [0, 1, 2].map((n) => ({ offset: n * 150_000, length: 120_000 }));
      const readers = ranges.map((range) => source.openChunk(range, never));
      const parts: Buffer[][] = ranges.map(() => []);
      for (let round = 0; round < 12; round++) {
        for (const [n, reader] of readers.entries()) parts[n]?.push(await readOn(reader, 10_000, 10_000));
      }
      for (const [n, range] of ranges.entries()) expectBytes(Buffer.concat(parts[n] ?? []), range);
      for (const reader of readers) reader.close();
    });

    test('a reader may be closed half way, and twice', async (context) => {
      const source = await opened(context);
      const reader = source.openChunk({ offset: 0, length: 500_000 }, never);
      await reader.next(new Uint8Array(4096));
      reader.close();
      reader.close();
      const range = { offset: 0, length: 50_000 };
      expectBytes(await readChunk(source, range), range);
    });

    test('its ref is plain data, and is all that another thread needs', async (context) => {
      const source = await opened(context);
      const attached = await under.scheme.attachSource?.(structuredClone(source.ref));
      expect(attached?.size).toBe(source.size);
      expect(attached?.version).toEqual(source.version);
      const range = { offset: 123_456, length: 99_999 };
      expectBytes(await readChunk(attached as Source, range), range);
      await attached?.detach?.();
      expectBytes(await readChunk(source, range), range);
    });

    testWith('extents')('its extents are in order, without gaps, and never call data zero', async (context) => {
      const source = await opened(context);
      const range = { offset: 4096, length: source.size - 8192 };
      let at = range.offset;
      for await (const { kind, offset, length } of source.extents?.(range, never) ??
        expect.fail('it tells no extents')) {
        expect(offset).toBe(at);
        at += length;
        if (kind === 'zero') expect(under.bytes.subarray(offset, at).every((byte) => byte === 0)).toBe(true);
      }
      expect(at).toBe(range.offset + range.length);
    });

    testWith('missing')('where there is nothing, that is what the error says', async (context) => {
      await opened(context);
      expect(await codeOf(() => under.scheme.openSource?.(under.missing as Location))).toBe('E_SOURCE_MISSING');
    });

    testWith('change')('its version stays while it does, and it tells when it was changed', async (context) => {
      const source = await opened(context);
      const again = await opened(context);
      expect(again.version).toEqual(source.version);
      await source.assertUnchanged();
      await under.change?.();
      expect(await codeOf(() => source.assertUnchanged())).toBe('E_SOURCE_CHANGED');
      const attached = (await under.scheme.attachSource?.(structuredClone(source.ref))) as Source;
      expect(attached.version).toEqual(source.version);
      expect(await codeOf(() => attached.assertUnchanged())).toBe('E_SOURCE_CHANGED');
      const changed = await opened(context);
      expect(changed.version).not.toEqual(source.version);
      await changed.assertUnchanged();
    });
  });
}
