/**
 * The head of an HTTP/1.1 answer, read as strictly as RFC 9112 is written: where two readers could disagree about an
 * answer, this one does not take it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { KiB } from '../../core/units.js';

export const HEAD_BYTES_MAX = 64 * KiB;

const BEGIN = 'HTTP/1.1 ';
const END = '\r\n\r\n';
/** RFC 9112 §4; a reason is for people, an empty one keeps its space. */
const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d) [\t\x20-\x7e\x80-\uffff]*$/;
/** RFC 9110 §5.5 and §5.6.2. No folded line, no space before the colon, no control character passes. */
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\uffff]*)$/;

export interface AnswerHead {
  /** A final one: 200 to 599. */
  readonly status: number;
  /** Names in lower case; a field that came several times is a list. */
  readonly headers: IncomingHttpHeaders;
}

/** The text of a head, without the empty line that ends it; undefined when it is not one to rely on. */
export function parseHead(text: string): AnswerHead | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const status = STATUS_LINE.exec(first)?.[1];
  if (status === undefined) return undefined;
  const headers = Object.create(null) as IncomingHttpHeaders;
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    const earlier = headers[key];
    headers[key] = earlier === undefined ? value.trim() : [earlier, value.trim()].flat();
  }
  return { status: Number(status), headers };
}

/** The bytes of the body, where one Content-Length and nothing else says so; RFC 9112 §6.3 has harder cases. */
export function plainBodyBytes({ headers }: AnswerHead): number | undefined {
  const length = headers['content-length'];
  if (headers['transfer-encoding'] !== undefined || typeof length !== 'string') return undefined;
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

/** Whether the connection may carry another exchange after this one. */
export function keepsConnection({ headers }: AnswerHead): boolean {
  const options = [headers.connection ?? []].flat().join(',').toLowerCase().split(',');
  return !options.some((option) => option.trim() === 'close');
}

/** Puts a head together from the pieces in which it arrives. */
export class HeadReader {
  #seen = Buffer.alloc(0);
  #count = 0;
  #text: string | undefined;

  /** The whole head, once `take` has answered. */
  get text(): string {
    return this.#text ?? '';
  }

  /** Answers what follows the head, 'more' while it has not ended, 'refused' when it can't become one. */
  take(bytes: Buffer): Buffer | 'more' | 'refused' {
    const before = this.#count;
    const piece = bytes.subarray(0, HEAD_BYTES_MAX - before);
    // A head nearly always comes whole: then nothing is copied.
    const seen = before === 0 ? piece : this.#add(piece);
    const begin = seen.toString('latin1', 0, BEGIN.length);
    if (!BEGIN.startsWith(begin)) return 'refused';
    const end = seen.indexOf(END, Math.max(0, before - END.length + 1), 'latin1');
    if (end === -1) {
      if (before === 0) this.#add(piece);
      return seen.length < HEAD_BYTES_MAX ? 'more' : 'refused';
    }
    this.#text = seen.toString('utf8', 0, end);
    return bytes.subarray(end + END.length - before);
  }

  /** All that was seen; room doubles, since a head may come byte by byte. */
  #add(piece: Buffer): Buffer {
    if (this.#count + piece.length > this.#seen.length) {
      const wider = Buffer.alloc(Math.min(HEAD_BYTES_MAX, 2 * (this.#count + piece.length)));
      this.#seen.copy(wider, 0, 0, this.#count);
      this.#seen = wider;
    }
    piece.copy(this.#seen, this.#count);
    this.#count += piece.length;
    return this.#seen.subarray(0, this.#count);
  }
}
