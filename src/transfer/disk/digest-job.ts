/**
 * The digests of a disk image: of the container, which is the file with all its tables, and of the content, which is
 * what a guest sees. Two images of one disk have one content and two containers.
 */
import { CHUNK_BYTES_DEFAULT, CHUNK_COUNT_MAX, ChunkGrid } from '../../core/chunk.js';
import { nowMs } from '../../core/clock.js';
import { type Algorithm, type DigestOf, loadHasher, rootDigest, toHex } from '../../core/digest.js';
import type { Location } from '../../core/endpoint.js';
import { diskLocation } from '../../disk/disk-location.js';
import { sparingCache } from '../cache-use.js';
import { EventStream } from '../event-stream.js';
import { hashChunks } from '../hash-chunks.js';
import type { SourceInfo } from '../requests.js';
import { openSource } from '../retry.js';
import type { TransferParts } from '../transfer.js';
import { VerifyLanes } from '../verify-lanes.js';

/** How long a stop waits for tasks, which look for it at every block. */
const STUCK_MS = 2000;

export interface DigestRequest {
  readonly location: Location;
  readonly parentFolders?: readonly string[];
  readonly of: readonly DigestOf[];
  /** The SHA-256 too, which takes a reading of its own, by one thread. */
  readonly sha256: boolean;
  /** Of the chunks. Default xxh64. */
  readonly algorithm?: Algorithm;
}

export interface DiskDigest {
  readonly of: DigestOf;
  /** Bytes that were hashed: of the file, or of the disk. */
  readonly size: number;
  readonly algorithm: Algorithm;
  /** The hash over the chunk digests, in hex: for a raw disk, what copy and verify call the root. */
  readonly root: string;
  readonly chunkBytes: number;
  /** 64 hex digits: for the content, what sha256sum says of the raw disk. */
  readonly sha256?: string;
}

export interface DigestResult {
  readonly name: string;
  readonly digests: readonly DiskDigest[];
  readonly elapsedMs: number;
}

export class DigestRun {
  readonly events: EventStream;
  readonly #request: DigestRequest;
  readonly #parts: TransferParts;
  #lanes: VerifyLanes | undefined;
  #stopped = false;

  constructor(request: DigestRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.events = new EventStream(() => parts.clock.wallMs());
  }

  suspend(): void {
    this.#stopped = true;
    this.#lanes?.suspend();
  }

  /** To be called once. @throws TransferError */
  async run(): Promise<DigestResult> {
    const { clock } = this.#parts;
    const startMs = nowMs(clock);
    try {
      const digests: DiskDigest[] = [];
      for (const of of this.#request.of) digests.push(await this.#digestOf(of));
      return { name: this.#request.location.name, digests, elapsedMs: Math.round(nowMs(clock) - startMs) };
    } finally {
      this.events.end();
    }
  }

  async #digestOf(of: DigestOf): Promise<DiskDigest> {
    const { location, parentFolders = [], sha256 } = this.#request;
    const wanted = of === 'container' ? location : diskLocation({ container: location, parentFolders });
    const opened: SourceInfo[] = [];
    const lanes = this.#newLanes();
    try {
      const found = await openSource(this.#parts.runner, wanted, lanes.retryRules());
      const source = { ...found, ref: sparingCache(found.ref, found.size, this.#parts.memoryBytes) };
      opened.push(source);
      const digest = await this.#hash(of, source, lanes);
      const whole = sha256 ? { sha256: await this.#sha256(source) } : {};
      await this.#parts.runner.run('check-source', { ref: source.ref });
      return { ...digest, ...whole };
    } finally {
      await lanes.end(opened.map(({ ref }) => ref));
    }
  }

  #newLanes(): VerifyLanes {
    const { events } = this;
    const about = { phase: 'checksumming', counts: 'readBytes', stopped: 'stopped; nothing was changed' } as const;
    const lanes = new VerifyLanes(this.#parts, { ...about, stuckMs: STUCK_MS, events });
    this.#lanes = lanes;
    if (this.#stopped) lanes.suspend();
    return lanes;
  }

  async #hash(of: DigestOf, source: SourceInfo, lanes: VerifyLanes): Promise<DiskDigest> {
    const { size } = source;
    let chunkBytes = CHUNK_BYTES_DEFAULT;
    while (size / chunkBytes > CHUNK_COUNT_MAX) chunkBytes *= 2;
    const grid = new ChunkGrid(size, chunkBytes);
    const { algorithm = 'xxh64' } = this.#request;
    const digests = await hashChunks({ grid, algorithm, count: grid.count }, source, lanes, this.#parts);
    const root = rootDigest(await loadHasher(algorithm), { algorithm, chunkBytes, size }, digests);
    return { of, size, algorithm, root: toHex(root), chunkBytes };
  }

  /** It cannot be had from chunks, so it is one more reading, in order. */
  async #sha256({ ref, size }: SourceInfo): Promise<string> {
    const lanes = this.#newLanes();
    const { control, progress } = lanes;
    const task = { end: 'committed', ref, size, algorithm: 'sha256', pastCache: false, control } as const;
    let value = '';
    try {
      progress.bytesTotal = size;
      await lanes.run(1, async () => {
        value = await this.#parts.runner.run('checksum', task);
        return false;
      });
      return value;
    } finally {
      await lanes.end([]);
    }
  }
}
