/**
 * The body of a part, sent as it is read: cut into pieces that are signed one by one, through two buffers of which one
 * is filled while the other is on its way. So memory does not depend on the size of a part.
 */
import { KiB } from '../../core/units.js';
import type { PieceSigner } from './sign.js';

const PIECE_BYTES_MAX = 256 * KiB;
/** Amazon takes none that is smaller, but for the last. */
const PIECE_BYTES_MIN = 8 * KiB;
const HEAD_BYTES_MAX = 96;
const END = '\r\n';
const KEPT_MAX = 64;

/**
 * Pieces as large as the blocks that come: at a low limit these are small, and a server that hears nothing for 20 s, as
 * Amazon, or for 65 s, as Ceph, ends the connection.
 */
export function pieceBytesFor(blockBytes: number): number {
  return Math.max(PIECE_BYTES_MIN, Math.min(blockBytes, PIECE_BYTES_MAX));
}

/** How many bytes the body has, with all signatures. */
export function framedBytes(length: number, pieceBytes: number): number {
  const full = Math.floor(length / pieceBytes);
  const rest = length % pieceBytes;
  const framed = (bytes: number): number => headOf(bytes, '0'.repeat(64)).length + bytes + END.length;
  return full * framed(pieceBytes) + (rest > 0 ? framed(rest) : 0) + framed(0);
}

function headOf(bytes: number, signature: string): string {
  return `${bytes.toString(16)};chunk-signature=${signature}\r\n`;
}

/** Buffers that are free: making new ones for each part would keep the garbage collector busy. */
const free: Buffer[] = [];

function takeBuffer(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(HEAD_BYTES_MAX + PIECE_BYTES_MAX + END.length);
}

export class PartBody implements AsyncIterable<Uint8Array> {
  readonly #signer: PieceSigner;
  readonly #pieceBytes: number;
  #filling = takeBuffer();
  #other = takeBuffer();
  #filled = 0;
  #sent: Promise<void> = Promise.resolve();
  /** A piece that nobody has asked for yet. */
  #waiting: Uint8Array | undefined;
  #ask: ((piece: IteratorResult<Uint8Array>) => void) | undefined;
  #tellSent: (() => void) | undefined;
  #over = false;
  #whole = false;

  constructor(signer: PieceSigner, pieceBytes: number) {
    this.#signer = signer;
    this.#pieceBytes = pieceBytes;
  }

  /** Takes all of the block; waits while both buffers are in use. Once the body was stopped, it goes nowhere. */
  async write(block: Uint8Array): Promise<void> {
    for (let at = 0; at < block.length && !this.#over; ) {
      const count = Math.min(block.length - at, this.#pieceBytes - this.#filled);
      this.#filling.set(block.subarray(at, at + count), HEAD_BYTES_MAX + this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled === this.#pieceBytes) await this.#send();
    }
  }

  /** Sends what is left, and the empty piece that ends the body. */
  async end(): Promise<void> {
    if (this.#filled > 0) await this.#send();
    await this.#send();
    this.#whole = !this.#over;
    this.stop();
  }

  /** All of it was given to the sender, before anybody stopped it. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Ends the body where it stands: nobody waits for anything any more. */
  stop(): void {
    this.#over = true;
    this.#tellSent?.();
    if (this.#waiting === undefined) this.#ask?.({ done: true, value: undefined });
    this.#ask = undefined;
  }

  /** Once nothing of it is on its way. */
  release(): void {
    if (free.length < KEPT_MAX) free.push(this.#filling, this.#other);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.stop();
        return { done: true, value: undefined };
      },
    };
  }

  /** The sender asks for more only when it has sent what it got. */
  #next(): Promise<IteratorResult<Uint8Array>> {
    const piece = this.#waiting;
    this.#waiting = undefined;
    if (piece !== undefined) return Promise.resolve({ value: piece });
    this.#tellSent?.();
    this.#tellSent = undefined;
    if (this.#over) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#ask = resolve;
    });
  }

  async #send(): Promise<void> {
    const piece = this.#frame();
    await this.#sent;
    if (this.#over) return;
    this.#sent = new Promise((resolve) => {
      this.#tellSent = resolve;
    });
    [this.#filling, this.#other] = [this.#other, this.#filling];
    this.#filled = 0;
    const ask = this.#ask;
    this.#ask = undefined;
    if (ask) ask({ value: piece });
    else this.#waiting = piece;
  }

  /** The piece between its signature and its end, in one stretch, so that it is sent in one go. */
  #frame(): Uint8Array {
    const end = HEAD_BYTES_MAX + this.#filled;
    const head = headOf(this.#filled, this.#signer.next(this.#filling.subarray(HEAD_BYTES_MAX, end)));
    const begin = HEAD_BYTES_MAX - head.length;
    this.#filling.write(head, begin, 'latin1');
    this.#filling.write(END, end, 'latin1');
    const framed = this.#filling.subarray(begin, end + END.length);
    // A socket has room for several small ones, and whoever sends asks for the next before they are on their way.
    return this.#pieceBytes < PIECE_BYTES_MAX ? Buffer.from(framed) : framed;
  }
}
