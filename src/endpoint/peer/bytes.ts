/** The bytes of a range on their way from or to a peer, in frames; both sides compare the digest at their end. */
import type { ByteRange } from '../../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, type Digest, type Hasher, loadHasher, sameBytes } from '../../core/digest.js';
import type { ChunkReader } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import {
  badFrame,
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEAD_BYTES,
  gapFrame,
  hashGap,
  readFrameHead,
} from '../../core/frames.js';
import type { ChunkWriter } from '../../core/target.js';
import { errorIn, type PeerClient, type PeerExchange } from './client.js';

/** What is hashed with where the caller does not say that it hashes itself. */
const OWN_ALGORITHM: Algorithm = 'xxh64';

export interface PeerRange {
  readonly client: PeerClient;
  readonly range: ByteRange;
  readonly signal: AbortSignal;
  /** The caller hashes by it, and tells the digest; absent: we do. */
  readonly algorithm: Algorithm | undefined;
  /** Route and query for the range; asked again when `recover` has brought something new. */
  readonly path: (algorithm: Algorithm) => string;
  /** Mends what made the first answer fail; answers whether to try once more. */
  readonly recover?: (error: unknown) => Promise<boolean>;
}

export class PeerReader implements ChunkReader {
  readonly #parts: PeerRange;
  readonly #head = new Uint8Array(FRAME_HEAD_BYTES);
  #opening: Promise<PeerExchange> | undefined;
  #exchange: PeerExchange | undefined;
  #hasher: Hasher | undefined;
  /** Of the frame that is being read. */
  #kind = 0;
  #frameLeft = 0;
  /** Of the range. */
  #left: number;
  #claimed: Digest | undefined;
  #closed = false;

  constructor(parts: PeerRange) {
    this.#parts = parts;
    this.#left = parts.range.length;
  }

  async next(into: Uint8Array): Promise<number> {
    const wanted = Math.min(into.length, this.#left);
    if (wanted === 0) return 0;
    this.#opening ??= this.#open();
    const exchange = this.#exchange ?? (await this.#opening);
    for (let filled = 0; filled < wanted; ) {
      if (this.#frameLeft === 0) await this.#nextFrame(exchange);
      const piece = into.subarray(filled, filled + Math.min(this.#frameLeft, wanted - filled));
      if (this.#kind === FRAME.gap) piece.fill(0);
      else await fill(exchange, piece, this.#parts.client.name);
      this.#hasher?.update(piece);
      filled += piece.length;
      this.#frameLeft -= piece.length;
      this.#left -= piece.length;
    }
    if (this.#left === 0) await this.#finish(exchange);
    return wanted;
  }

  /** @throws TransferError E_PROTOCOL when the caller's digest is not the peer's */
  verify(digest: Digest): void {
    if (this.#parts.algorithm === undefined) return;
    if (!this.#claimed || !sameBytes(this.#claimed, digest)) throw this.#spoiled();
  }

  close(): void {
    this.#closed = true;
    this.#exchange?.end();
  }

  async #open(): Promise<PeerExchange> {
    const { client, signal, algorithm, path, recover } = this.#parts;
    if (algorithm === undefined) this.#hasher = (await loadHasher(OWN_ALGORITHM))();
    for (let again = false; ; again = true) {
      const exchange = await client.open(signal);
      try {
        exchange.begin(client.head('GET', path(algorithm ?? OWN_ALGORITHM)));
        await exchange.answered();
        if (this.#closed) throw new TransferError('E_STOPPED', 'the reader was closed');
        this.#exchange = exchange;
        return exchange;
      } catch (thrown) {
        exchange.end();
        if (again || !(await recover?.(thrown))) throw thrown;
      }
    }
  }

  async #nextFrame(exchange: PeerExchange): Promise<void> {
    await fill(exchange, this.#head, this.#parts.client.name);
    const { kind, length } = readFrameHead(this.#head, this.#left);
    if (kind === FRAME.failure) {
      const content = Buffer.alloc(length);
      await fill(exchange, content, this.#parts.client.name);
      throw errorIn(this.#parts.client.name, content) ?? badFrame('a failure without a reason');
    }
    this.#kind = kind;
    this.#frameLeft = length;
  }

  async #finish(exchange: PeerExchange): Promise<void> {
    await this.#nextFrame(exchange);
    if (this.#kind !== FRAME.end) throw badFrame('something behind the last byte');
    const claimed = new Uint8Array(this.#frameLeft);
    await fill(exchange, claimed, this.#parts.client.name);
    this.#claimed = claimed;
    if (this.#hasher && !sameBytes(this.#hasher.digest(), claimed)) throw this.#spoiled();
    exchange.end();
  }

  #spoiled(): TransferError {
    const { client, range } = this.#parts;
    return new TransferError('E_PROTOCOL', `${client.name}: bytes were not what the peer had sent`, {
      hint: 'Something on the way, or the memory of one of the two hosts, changes bytes. The chunk is read again.',
      offset: range.offset,
    });
  }
}

async function fill(exchange: PeerExchange, into: Uint8Array, name: string): Promise<void> {
  const got = exchange.read(into);
  if ((typeof got === 'number' ? got : await got) === into.length) return;
  throw new TransferError('E_PROTOCOL', `${name}: the peer ended its answer too early`, { hint: 'Check the peer.' });
}

/** Sends each block as it comes, in HTTP chunks of one frame; the peer compares the digest before it says yes. */
export class PeerWriter implements ChunkWriter {
  readonly #parts: PeerRange;
  #opening: Promise<PeerExchange> | undefined;
  #exchange: PeerExchange | undefined;
  #hasher: Hasher | undefined;
  #gap = 0;
  /** What ends the HTTP chunk before. */
  #ending = '';

  constructor(parts: PeerRange) {
    this.#parts = parts;
  }

  async write(block: Uint8Array): Promise<void> {
    await this.#mending(() => this.#write(block));
  }

  async #write(block: Uint8Array): Promise<void> {
    const exchange = this.#exchange ?? (await this.#open());
    await this.#sendGap(exchange);
    for (let at = 0; at < block.length; at += FRAME_BYTES_MAX) {
      const piece = block.subarray(at, at + FRAME_BYTES_MAX);
      this.#hasher?.update(piece);
      const head = Buffer.alloc(FRAME_HEAD_BYTES);
      head.writeUInt32BE(FRAME.data, 0);
      head.writeUInt32BE(piece.length, 4);
      const begun = exchange.send(this.#chunk(FRAME_HEAD_BYTES + piece.length, head));
      await Promise.all([begun, exchange.send(piece)]);
    }
  }

  skip(length: number): void {
    this.#gap += length;
  }

  async finish(digest: Digest): Promise<undefined> {
    return this.#mending(() => this.#finish(digest));
  }

  async #finish(digest: Digest): Promise<undefined> {
    const exchange = this.#exchange ?? (await this.#open());
    await this.#sendGap(exchange);
    const { algorithm } = this.#parts;
    const own = this.#hasher?.digest();
    const told = own ?? digest;
    if (told.length !== DIGEST_BYTES[algorithm ?? OWN_ALGORITHM]) {
      throw new TransferError('E_BUG', `a digest of ${told.length} bytes where ${algorithm} was to be`);
    }
    const head = Buffer.alloc(FRAME_HEAD_BYTES);
    head.writeUInt32BE(FRAME.end, 0);
    head.writeUInt32BE(told.length, 4);
    const last = Buffer.concat([head, told]);
    await exchange.send(Buffer.concat([this.#chunk(last.length, last), Buffer.from('\r\n0\r\n\r\n')]));
    await exchange.content();
    exchange.end();
    return undefined;
  }

  abort(): void {
    this.#exchange?.end();
  }

  /** What can be mended is, before the engine tries the chunk again. */
  async #mending<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof TransferError && (await this.#parts.recover?.(thrown))) throw thrown.with({ mended: true });
      throw thrown;
    }
  }

  async #sendGap(exchange: PeerExchange): Promise<void> {
    if (this.#gap === 0) return;
    const length = this.#gap;
    this.#gap = 0;
    if (this.#hasher) hashGap(this.#hasher, length);
    await exchange.send(this.#chunk(FRAME_HEAD_BYTES, gapFrame(length)));
  }

  /** The head of an HTTP chunk (RFC 9112 §7.1) and what of it is at hand. */
  #chunk(length: number, begin: Uint8Array): Buffer {
    const head = Buffer.from(`${this.#ending}${length.toString(16)}\r\n`);
    this.#ending = '\r\n';
    return Buffer.concat([head, begin]);
  }

  #open(): Promise<PeerExchange> {
    this.#opening ??= this.#begin();
    return this.#opening;
  }

  async #begin(): Promise<PeerExchange> {
    const { client, signal, algorithm, path } = this.#parts;
    if (algorithm === undefined) this.#hasher = (await loadHasher(OWN_ALGORITHM))();
    const exchange = await client.open(signal);
    exchange.begin(client.head('PUT', path(algorithm ?? OWN_ALGORITHM), ['transfer-encoding: chunked']));
    this.#exchange = exchange;
    return exchange;
  }
}
