/**
 * A target as buckets are: whole chunks alone, each known by a token, nothing to be read before the commit, and partial
 * data that nobody finds who does not know its number.
 */
import { join } from 'node:path';
import type { EndpointRef } from '../../src/core/endpoint.js';
import { TransferError } from '../../src/core/errors.js';
import { CHUNK_LIMITS, type PreparedTarget, type Target, type TargetLayout } from '../../src/core/target.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';

interface UploadRef extends EndpointRef {
  readonly upload: string;
}

interface Part {
  readonly bytes: Buffer;
  readonly token: string;
}

export class Bucket {
  /** What has been committed. */
  object: Buffer | undefined;
  readonly uploads = new Map<string, Map<number, Part>>();
  /** Chunks that were sent. */
  sent = 0;
  readonly #folder: string;
  #numbers = 0;

  constructor(journalFolder: string) {
    this.#folder = journalFolder;
  }

  scheme(): EndpointScheme {
    return {
      locateTarget: async () => ({
        ref: { scheme: 'bucket' },
        name: 'bucket://key',
        fileName: 'key',
        journalPath: join(this.#folder, '.key.blockferry-journal'),
        publish: 'atomic',
        limits: CHUNK_LIMITS,
        wholeChunks: true,
        unreadable: true,
        partialOnRecord: true,
        writesPerWorker: 2,
        ...(this.object && { existing: { device: 'bucket', inode: 'key' } }),
      }),
      layOutTarget: async () => this.#begin(),
      prepareTarget: async (ref, { layout }) => this.#prepare(ref, layout),
      attachTarget: (ref) => this.#target(ref as UploadRef),
      discardPartial: async (_ref, layout) => void this.uploads.delete(String(layout?.upload)),
    };
  }

  #begin(): TargetLayout {
    const upload = `upload ${++this.#numbers}`;
    this.uploads.set(upload, new Map());
    return { upload };
  }

  #prepare(ref: EndpointRef, layout: TargetLayout | undefined): PreparedTarget {
    const upload = String(layout?.upload);
    if (!this.uploads.has(upload)) throw new TransferError('E_PART_LOST', `bucket://key: there is no ${upload}`);
    const prepared: UploadRef = { ...ref, upload };
    return { ref: prepared, identity: { device: 'bucket', inode: upload }, zeroed: false };
  }

  #target(ref: UploadRef): Target {
    const parts = this.uploads.get(ref.upload) ?? new Map<number, Part>();
    return {
      ref,
      openChunk: ({ offset }) => {
        const blocks: Buffer[] = [];
        return {
          write: (block) => void blocks.push(Buffer.from(block)),
          skip: () => {
            throw new Error('whole chunks have no holes');
          },
          finish: () => {
            const token = `token ${++this.sent}`;
            parts.set(offset, { bytes: Buffer.concat(blocks), token });
            return token;
          },
          abort: () => undefined,
        };
      },
      holds: async ({ offset, length }, { token }) => {
        const part = parts.get(offset);
        return part?.bytes.length === length && part.token === token;
      },
      mark: async () => ({ device: 'bucket', inode: ref.upload, size: 0, mtimeNs: '0' }),
      flush: async () => undefined,
      commit: async () => {
        const inOrder = [...parts].sort(([one], [other]) => one - other).map(([, { bytes }]) => bytes);
        this.object = Buffer.concat(inOrder);
        this.uploads.delete(ref.upload);
        return [];
      },
      close: async () => undefined,
    };
  }
}
