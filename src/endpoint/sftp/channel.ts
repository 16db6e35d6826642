/**
 * Requests and answers over one SSH channel: many are under way at once, and bytes that were asked for go straight from
 * their packet to where they belong. What is given up is forgotten here, so that a late answer touches no buffer that
 * somebody else has by now. Silence ends the channel, and so does everything that is not SFTP.
 */
import type { Duplex } from 'node:stream';
import { type Clock, nowMs, systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import { encodePacket, type Field, Fields, MalformedError, STATUS, TYPE } from './wire.js';

const VERSION = 3;
/** Length, type, number of the request; and the length of the data, where it is data. */
const HEAD_BYTES = 9;
const DATA_HEAD_BYTES = 13;
const ANSWER_BYTES_MAX = 64 * KiB;
/** What one SSH packet carries at every server. */
const FIRST_BYTES = 32 * KiB;
const NUMBERS = 0x1_0000_0000;

/** The server's own refusal of one request. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

export interface Answer {
  readonly type: number;
  readonly fields: Fields;
  /** Of data: how much was filled; 0 at the end of the file. */
  readonly filled: number;
}

interface Pending {
  readonly owner: object | undefined;
  readonly slow: boolean;
  into: Uint8Array | undefined;
  /** Bytes that were asked for. */
  readonly roomBytes: number;
  /** Bytes of a caller's buffer wait to be sent. */
  unsent: boolean;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export interface Request {
  readonly type: number;
  readonly fields: readonly Field[];
  /** Where the data of the answer goes. */
  readonly into?: Uint8Array;
  /** Follows the fields as their last; it must stay as it is until the answer. */
  readonly data?: Uint8Array;
  /** Who gives it up, with all else of the same owner. */
  readonly owner?: object | undefined;
  /** The server may rightly take long. */
  readonly slow?: boolean;
}

export interface ChannelParts {
  /** For messages: the server, without secrets. */
  readonly name: string;
  readonly silenceMs: number;
  /** While something slow is under way. */
  readonly slowSilenceMs: number;
  readonly clock?: Clock;
  /** Gathers what is written until the end of this turn; keeps the process alive while something is waited for. */
  readonly socket: { cork(): void; uncork(): void; ref(): unknown; unref(): unknown; destroy(): unknown };
}

export class SftpChannel {
  readonly #stream: Duplex;
  readonly #parts: ChannelParts;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #ended = new AbortController();
  #number = 0;
  #slow = 0;
  #corked = false;
  #watching = false;
  #heardMs = 0;
  #lost: TransferError | undefined;
  readonly #head = Buffer.alloc(DATA_HEAD_BYTES);
  #headBytes = 0;
  /** The answer that is being received. */
  #current: Pending | undefined;
  #body: Buffer | undefined;
  #left = 0;
  #filled = 0;

  constructor(stream: Duplex, parts: ChannelParts) {
    this.#stream = stream;
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    parts.socket.unref();
    stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    stream.on('error', (error: Error) => this.lose(this.#error('E_NETWORK', 'the connection failed', error)));
    for (const event of ['end', 'close']) {
      stream.on(event, () => this.lose(this.#error('E_NETWORK', 'the server closed the connection')));
    }
  }

  /** Nothing more can be asked. */
  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** The first exchange; answers the server's extensions. */
  async begin(): Promise<ReadonlyMap<string, string>> {
    const answer = this.#wait(VERSION, {});
    this.#write(encodePacket(TYPE.init, VERSION, []));
    const { fields } = await answer;
    const extensions = new Map<string, string>();
    while (!fields.atEnd) extensions.set(fields.string().toString(), fields.string().toString());
    return extensions;
  }

  /** @throws StatusError, TransferError */
  request({ type, fields, data, ...wish }: Request): Promise<Answer> {
    if (this.#lost) return Promise.reject(this.#lost);
    do this.#number = (this.#number + 1) % NUMBERS;
    while (this.#pending.has(this.#number));
    const answer = this.#wait(this.#number, wish);
    if (data === undefined) this.#write(encodePacket(type, this.#number, fields));
    else this.#writeData(encodePacket(type, this.#number, [...fields, data.length], data.length), data);
    return answer;
  }

  /** What this owner waits for fails at once; where its bytes still wait to be sent, so does the whole connection. */
  giveUp(owner: object, why: TransferError): void {
    let unsent = false;
    for (const pending of this.#pending.values()) {
      if (pending.owner !== owner) continue;
      unsent ||= pending.unsent;
      pending.into = undefined;
      pending.reject(why);
    }
    // Their buffer is somebody else's from now on, and must not be sent.
    if (unsent) this.lose(this.#error('E_NETWORK', 'the connection was given up with a write half sent'));
  }

  /** Ends it; everything that is waited for fails. */
  lose(why: TransferError): void {
    if (this.#lost) return;
    this.#lost = why;
    this.#ended.abort();
    for (const pending of this.#pending.values()) pending.reject(why);
    this.#pending.clear();
    this.#current = undefined;
    this.#stream.destroy();
    this.#parts.socket.destroy();
  }

  #wait(number: number, { owner, slow = false, into }: Omit<Request, 'type' | 'fields' | 'data'>): Promise<Answer> {
    if (this.#pending.size === 0) {
      this.#heardMs = nowMs(this.#clock);
      this.#parts.socket.ref();
    }
    const answer = new Promise<Answer>((resolve, reject) => {
      const roomBytes = into?.length ?? 0;
      this.#pending.set(number, { owner, slow, into, roomBytes, unsent: false, resolve, reject });
    });
    if (slow) this.#slow++;
    if (!this.#watching) void this.#watch();
    return answer;
  }

  #write(bytes: Uint8Array, sent?: () => void): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#parts.socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#parts.socket.uncork();
      });
    }
    this.#stream.write(bytes, sent);
  }

  /** The head travels with the first bytes: a packet of its own would cost as much as a full one. */
  #writeData(head: Buffer, data: Uint8Array): void {
    const pending = this.#pending.get(this.#number) as Pending;
    const first = data.subarray(0, FIRST_BYTES - head.length);
    this.#write(Buffer.concat([head, first]));
    if (first.length === data.length) return;
    pending.unsent = true;
    this.#write(data.subarray(first.length), () => {
      pending.unsent = false;
    });
  }

  async #watch(): Promise<void> {
    this.#watching = true;
    const { silenceMs, slowSilenceMs } = this.#parts;
    while (this.#pending.size > 0 && !this.#lost) {
      await this.#clock.sleep(Math.min(1000, silenceMs / 4), this.#ended.signal);
      const limitMs = this.#slow > 0 ? slowSilenceMs : silenceMs;
      if (this.#pending.size === 0 || nowMs(this.#clock) - this.#heardMs <= limitMs) continue;
      this.lose(this.#error('E_TIMEOUT', `the server has not answered for ${Math.round(limitMs / 1000)} s`));
    }
    this.#watching = false;
  }

  #receive(bytes: Buffer): void {
    this.#heardMs = nowMs(this.#clock);
    try {
      for (let at = 0; at < bytes.length && !this.#lost; ) {
        at += this.#current ? this.#readBody(bytes.subarray(at)) : this.#readHead(bytes.subarray(at));
      }
    } catch (thrown) {
      if (!(thrown instanceof MalformedError)) throw thrown;
      this.lose(this.#error('E_PROTOCOL', `the server sent ${thrown.message}`));
    }
  }

  #readHead(bytes: Buffer): number {
    const wanted = (this.#headBytes >= HEAD_BYTES ? DATA_HEAD_BYTES : HEAD_BYTES) - this.#headBytes;
    const got = bytes.copy(this.#head, this.#headBytes, 0, wanted);
    this.#headBytes += got;
    if (got < wanted) return got;
    const type = this.#head[4] as number;
    const number = this.#head.readUInt32BE(5);
    const left = this.#head.readUInt32BE(0) - 5;
    const pending = this.#pending.get(number);
    if (!pending) throw new MalformedError(type === TYPE.version ? `version ${number}` : 'an answer to no question');
    if (left < 0 || left > ANSWER_BYTES_MAX + pending.roomBytes) throw new MalformedError(`an answer of ${left} bytes`);
    if (type === TYPE.data) {
      if (this.#headBytes === HEAD_BYTES) return got;
      this.#beginData(pending, left - 4, this.#head.readUInt32BE(HEAD_BYTES));
    } else {
      this.#body = Buffer.alloc(left);
      this.#left = left;
    }
    this.#current = pending;
    this.#filled = 0;
    if (this.#left === 0) this.#deliver();
    return got;
  }

  #beginData({ roomBytes }: Pending, left: number, length: number): void {
    if (length !== left || length === 0 || length > roomBytes) {
      throw new MalformedError(`${length} bytes of data where ${roomBytes} were asked for`);
    }
    this.#body = undefined;
    this.#left = length;
  }

  #readBody(bytes: Buffer): number {
    const got = Math.min(this.#left, bytes.length);
    const part = got === bytes.length ? bytes : bytes.subarray(0, got);
    if (this.#body) this.#body.set(part, this.#filled);
    else this.#current?.into?.set(part, this.#filled);
    this.#filled += got;
    this.#left -= got;
    if (this.#left === 0) this.#deliver();
    return got;
  }

  #deliver(): void {
    const pending = this.#current as Pending;
    const type = this.#head[4] as number;
    const fields = new Fields(this.#body ?? Buffer.alloc(0));
    const refusal = type === TYPE.status ? readStatus(fields) : undefined;
    this.#pending.delete(this.#head.readUInt32BE(5));
    if (this.#pending.size === 0) this.#parts.socket.unref();
    if (pending.slow) this.#slow--;
    this.#current = undefined;
    this.#headBytes = 0;
    if (refusal?.status === STATUS.eof && pending.roomBytes > 0)
      pending.resolve({ type: TYPE.data, fields, filled: 0 });
    else if (refusal) pending.reject(refusal);
    else pending.resolve({ type, fields, filled: this.#body ? 0 : this.#filled });
  }

  #error(code: 'E_NETWORK' | 'E_TIMEOUT' | 'E_PROTOCOL', what: string, cause?: Error): TransferError {
    const hint = 'Check the network and the server. What is finished is kept; the same command goes on from there.';
    return new TransferError(code, `${this.#parts.name}: ${what}`, { hint, ...(cause && { cause }) });
  }
}

/** Undefined: it is done. */
function readStatus(fields: Fields): StatusError | undefined {
  const status = fields.uint32();
  if (status === STATUS.ok) return undefined;
  // Old servers send no text.
  return new StatusError(status, fields.atEnd ? '' : showPath(fields.string().subarray(0, 200).toString()));
}
