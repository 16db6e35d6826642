/** What tests of ends share: chunks read whole, and the code of an error as a value. */
import { expect } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import type { ChunkReader, EndpointRef, Location, Source } from '../../src/core/endpoint.js';
import { TransferError } from '../../src/core/errors.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';

/** For what is not stopped. */
export const never = new AbortController().signal;

/** The bytes of a range, read in blocks of one size. */
export async function readChunk(source: Source, range: ByteRange, blockBytes = 65_536): Promise<Buffer> {
  const reader = source.openChunk(range, never);
  try {
    return await readOn(reader, range.length, blockBytes);
  } finally {
    reader.close();
  }
}

/**
 * Reads `length` bytes, a block at a time, all of them into one buffer that is used again, as a worker does. Each block
 * must come full.
 */
export async function readOn(reader: ChunkReader, length: number, blockBytes = 65_536): Promise<Buffer> {
  const whole = Buffer.alloc(length);
  const buffer = new Uint8Array(blockBytes);
  for (let done = 0; done < length; ) {
    const block = buffer.subarray(0, Math.min(blockBytes, length - done));
    expect(await reader.next(block)).toBe(block.length);
    whole.set(block, done);
    done += block.length;
  }
  return whole;
}

/** The code of the TransferError that the work throws, or `no error`; anything else fails the test. */
export async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'no error';
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TransferError);
    return (thrown as TransferError).code;
  }
}

/** These bytes as a source, all of them data. */
export function memorySource(bytes: Uint8Array): Source {
  const ref: EndpointRef = { scheme: 'memory' };
  return {
    ...{ ref, name: 'memory', fileName: 'memory', size: bytes.length, sizeIs: 'exact', readsPerWorker: 1 },
    version: { strength: 'none', value: '' },
    openChunk: ({ offset, length }) => {
      let at = offset;
      const next = (into: Uint8Array): number => {
        const got = bytes.subarray(at, Math.min(at + into.length, offset + length));
        into.set(got);
        at += got.length;
        return got.length;
      };
      return { next, close: () => undefined };
    },
    assertUnchanged: async () => undefined,
    close: async () => undefined,
  };
}

/** What a source holds, opened by its scheme. */
export async function readLocation(scheme: EndpointScheme, location: Location): Promise<Buffer> {
  const source = await scheme.openSource?.(location);
  if (!source) throw new Error('the scheme opens no sources');
  try {
    return await readChunk(source, { offset: 0, length: source.size });
  } finally {
    await source.close();
  }
}
