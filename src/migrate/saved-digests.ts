/** What is known of a saved memory by its bytes as they come: so that what is read of it later can be compared. */
import { createHash } from 'node:crypto';
import { CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import { loadHasher, rootDigest, toHex } from '../core/digest.js';
import type { SavedDigests } from './hypervisor.js';

const CHUNK_BYTES = CHUNK_BYTES_DEFAULT;

export class SavedHasher {
  readonly #whole = createHash('sha256');
  readonly #digests: Uint8Array[] = [];
  #chunk = createHash('sha256');
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  update(block: Uint8Array): void {
    this.#whole.update(block);
    for (let at = 0; at < block.length; ) {
      const piece = block.subarray(at, at + CHUNK_BYTES - (this.#bytes % CHUNK_BYTES));
      this.#chunk.update(piece);
      at += piece.length;
      this.#bytes += piece.length;
      if (this.#bytes % CHUNK_BYTES === 0) this.#endChunk();
    }
  }

  /** To be called once, at the end. */
  async digests(): Promise<SavedDigests> {
    const bytes = this.#bytes;
    if (bytes % CHUNK_BYTES > 0) this.#endChunk();
    const about = { algorithm: 'sha256', chunkBytes: CHUNK_BYTES, size: bytes } as const;
    const root = toHex(rootDigest(await loadHasher('sha256'), about, Buffer.concat(this.#digests)));
    return { bytes, sha256: this.#whole.digest('hex'), root, chunkBytes: CHUNK_BYTES };
  }

  #endChunk(): void {
    this.#digests.push(this.#chunk.digest());
    this.#chunk = createHash('sha256');
  }
}
