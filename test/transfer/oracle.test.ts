import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { copy, verify } from '../../src/index.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { plainCopy } from '../support/plain-copy.js';
import { Seeded } from '../support/seeded.js';

const scratch = mkdtempSync(join(tmpdir(), 'oracle-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Layout {
  readonly size: number;
  /** Runs of bytes, one behind the other, from the start; what they do not reach is a hole. */
  readonly runs: readonly { readonly kind: 'data' | 'zero' | 'hole'; readonly length: number }[];
  readonly chunkBytes: number;
  readonly blockBytes: number;
  readonly lanes: number;
  readonly seed: number;
}

/** Lengths at and around the places where something changes. */
function around(...bounds: readonly number[]): fc.Arbitrary<number> {
  return fc.constantFrom(...bounds.flatMap((bound) => [bound - 1, bound, bound + 1]).filter((length) => length >= 0));
}

const lengths = fc.oneof(
  around(0, 4 * KiB, 16 * KiB, 64 * KiB, 128 * KiB, 256 * KiB),
  fc.integer({ min: 0, max: 300 * KiB }),
);

const layouts: fc.Arbitrary<Layout> = fc.record({
  size: lengths,
  runs: fc.array(fc.record({ kind: fc.constantFrom('data', 'zero', 'hole'), length: lengths }), { maxLength: 8 }),
  chunkBytes: fc.constantFrom(4 * KiB, 5000, 16 * KiB, 64 * KiB, 1024 * KiB),
  blockBytes: fc.constantFrom(KiB, 4 * KiB, 7000, 64 * KiB),
  lanes: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(),
});

function make(path: string, { size, runs, seed }: Pick<Layout, 'size' | 'runs' | 'seed'>): void {
  const seeded = new Seeded(seed);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  let at = 0;
  for (const { kind, length } of runs) {
    const fits = Math.min(length, size - at);
    if (kind !== 'hole' && fits > 0) {
      writeSync(fd, kind === 'data' ? seeded.bytes(fits) : Buffer.alloc(fits), 0, fits, at);
    }
    at += fits;
  }
  closeSync(fd);
}

const allocatedBytes = (path: string): number => statSync(path).blocks * 512;

/** The oracle's bytes, and no more storage than the source takes, but for half-filled file system blocks. */
function expectAsPlain(source: string, target: string, slackBytes: number): void {
  const plain = `${target}.plain`;
  plainCopy(source, plain);
  expect(readFileSync(target).equals(readFileSync(plain))).toBe(true);
  if (nativeAvailable()) expect(allocatedBytes(target)).toBeLessThanOrEqual(allocatedBytes(source) + slackBytes);
}

let number = 0;
const newPaths = (): [string, string] => [join(scratch, `${++number}.img`), join(scratch, `${number}.copy`)];

test('whatever the sizes, holes and lanes, the copy is what a plain copy is, and keeps its holes', async () => {
  await fc.assert(
    fc.asyncProperty(layouts, async (layout) => {
      const [source, target] = newPaths();
      make(source, layout);
      const { chunkBytes, blockBytes, lanes } = layout;
      const result = await inlineTransfer({ source, target, chunkBytes, blockBytes, lanes, sync: false }).run();
      expect(result.bytesTotal).toBe(layout.size);
      expectAsPlain(source, target, 2 * (blockBytes + 4 * KiB) * (layout.runs.length + 1));
      for (const path of [source, target, `${target}.plain`]) rmSync(path);
    }),
    { numRuns: 150 },
  );
});

test('threads copy what one thread copies, and say so when asked to verify', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(layouts, fc.integer({ min: 1, max: 3 }), async (layout, workers) => {
      const [source, target] = newPaths();
      make(source, layout);
      const { chunkBytes, lanes } = layout;
      const { result } = copy({ source, target, chunkBytes, lanes, workers, sync: false });
      expect((await result).bytesTotal).toBe(layout.size);
      expectAsPlain(source, target, Number.POSITIVE_INFINITY);
      const verified = await verify({ target, source: `${target}.plain`, workers: 1 }).result;
      expect(verified).toMatchObject({ same: true, differing: [] });
      for (const path of [source, target, `${target}.plain`]) rmSync(path);
    }),
    { numRuns: 12 },
  );
});

test('holes as small as a block of the file system stay holes', async (context) => {
  context.skip(!nativeAvailable(), 'needs koffi');
  const [source, target] = newPaths();
  const seeded = new Seeded(8);
  const fd = openSync(source, 'w');
  for (let at = 0; at < 8 * MiB; at += 64 * KiB) writeSync(fd, seeded.bytes(4 * KiB), 0, 4 * KiB, at);
  closeSync(fd);
  await copy({ source, target, workers: 1 }).result;
  expectAsPlain(source, target, MiB);
});

test('verify names exactly the bytes that differ', async () => {
  const [source, target] = newPaths();
  const bytes = new Seeded(5).bytes(100 * KiB);
  const differing = [
    { offset: 0, length: 1 },
    { offset: 4095, length: 2 },
    { offset: 100 * KiB - 3, length: 3 },
  ];
  for (const path of [source, target]) {
    const fd = openSync(path, 'w');
    const own = Buffer.from(bytes);
    if (path === target) {
      for (const { offset, length } of differing)
        for (let n = 0; n < length; n++) own[offset + n] = (own[offset + n] ?? 0) ^ 1;
    }
    writeSync(fd, own);
    closeSync(fd);
  }
  const verified = await verify({ target, source, workers: 1 }).result;
  expect(verified).toMatchObject({ same: false, differing, bytesDiffering: 6 });
});
