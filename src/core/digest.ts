/**
 * Digests of chunks, and the root over them. xxh64 detects accidents, not attackers; sha256 is there for records that
 * somebody else must be able to trust.
 */
import type { Hash } from 'node:crypto';
import xxhash from 'xxhash-wasm';
import { loadXxh64, type Xxh64 } from './xxh64.js';

export type Algorithm = 'xxh64' | 'sha256';
/**
 * What digests are of: the bytes of a file, whatever they are, or what the guest of a disk image sees. A disk has both,
 * and they are never the same, except where the image is raw.
 */
export type DigestOf = 'container' | 'content';
export const DIGEST_BYTES: Readonly<Record<Algorithm, number>> = { xxh64: 8, sha256: 32 };

/** The hash of one chunk: 8 bytes, big endian, for xxh64; 32 for sha256. */
export type Digest = Uint8Array;

export interface Hasher {
  update(block: Uint8Array): void;
  digest(): Digest;
}

let wasm: ReturnType<typeof xxhash> | undefined;

/** Loads what the algorithm needs, once per thread; the function it gives makes a new hasher for each chunk. */
export async function loadHasher(algorithm: Algorithm): Promise<() => Hasher> {
  if (algorithm === 'sha256') return sha256Hasher;
  const newHash = (await loadXxh64()) ?? (await loadPlainXxh64());
  return () => {
    const hash = newHash();
    return {
      update: (block) => hash.update(block),
      digest: () => {
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, hash.digest());
        return bytes;
      },
    };
  };
}

/** The package as it is, which needs a copy of each block. */
export async function loadPlainXxh64(): Promise<() => Xxh64> {
  wasm ??= xxhash();
  const { create64 } = await wasm;
  return () => {
    const hash = create64();
    return { update: (block) => void hash.update(block), digest: () => hash.digest() };
  };
}

/** A quick 64-bit hash of a few bytes, for tables. */
export async function loadHash64(): Promise<(bytes: Uint8Array) => bigint> {
  wasm ??= xxhash();
  return (await wasm).h64Raw;
}

function sha256Hasher(): Hasher {
  const hash = newSha256();
  return { update: (block) => void hash.update(block), digest: () => new Uint8Array(hash.digest()) };
}

/** Loaded when it is needed: most copies hash with xxh64, and a small one should not wait for all of node:crypto. */
function newSha256(): Hash {
  return process.getBuiltinModule('node:crypto').createHash('sha256');
}

/** Names what is too long or too odd to be a name. */
export function sha256Hex(bytes: Uint8Array): string {
  return newSha256().update(bytes).digest('hex');
}

/** The digest of `length` zero bytes. */
export function zeroDigest(newHasher: () => Hasher, length: number): Digest {
  const hasher = newHasher();
  const block = new Uint8Array(Math.min(length, 1 << 20));
  for (let rest = length; rest > 0; rest -= block.length) {
    hasher.update(rest < block.length ? block.subarray(0, rest) : block);
  }
  return hasher.digest();
}

/** root = hash(algorithm, chunkBytes, size, digests): one value that names the whole content and how it was cut. */
export function rootDigest(newHasher: () => Hasher, about: RootOf, digests: Uint8Array): Digest {
  const hasher = beginRoot(newHasher, about);
  hasher.update(digests);
  return hasher.digest();
}

export interface RootOf {
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
  readonly size: number;
}

/** A hasher that gives the root once it was given all chunk digests, in order. */
export function beginRoot(newHasher: () => Hasher, { algorithm, chunkBytes, size }: RootOf): Hasher {
  const hasher = newHasher();
  hasher.update(Buffer.from(`${algorithm}\n${chunkBytes}\n${size}\n`));
  return hasher;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
