/**
 * A server that files are written to, and what is asked of it besides their bytes: what is there, and how it gets its
 * name or goes away. WebDAV is asked by PROPFIND, any other server by HEAD.
 */
import { systemClock } from '../../core/clock.js';
import { type ErrorCode, TransferError } from '../../core/errors.js';
import type { HttpAccess } from '../http/access.js';
import { headerOf, networkError } from '../http/errors.js';
import { type DavProperties, notDav, readMultistatus } from '../webdav/xml.js';
import { ask, type OpenAnswer, send, type WebAnswer, type WebRequest } from './client.js';
import { refusal, succeeded } from './errors.js';
import type { Losses } from './losses.js';
import { nameOfUrl } from './names.js';

/** What stands under a URL. `unknown`: the server does not say. */
export type Found =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'folder'; readonly url: URL; readonly freeBytes?: number }
  | { readonly kind: 'file'; readonly size?: number; readonly etag: string; readonly modifiedNs: string };

export interface Move {
  readonly from: URL;
  readonly to: URL;
  readonly overwrite: boolean;
  /** How long the server may be silent: where it has no names to change, it copies the file. */
  readonly silenceMsMax: number;
}

const PROPERTIES = ['resourcetype', 'getcontentlength', 'getetag', 'getlastmodified', 'quota-available-bytes'];
const PROPFIND = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>${PROPERTIES.map(
  (name) => `<${name}/>`,
).join('')}</prop></propfind>`;

const ATTEMPTS_MAX = 4;
const REPEAT_MS = 500;
const REPEAT_MS_MAX = 30_000;
const AWAY: ReadonlySet<ErrorCode> = new Set(['E_NETWORK', 'E_TIMEOUT', 'E_UNAVAILABLE']);

const GONE: ReadonlySet<number> = new Set([404, 410]);
/** Nothing to be seen this way, be it that the method is not known or not allowed. */
const UNSEEN: ReadonlySet<number> = new Set([400, 403, 405, 501]);
const SENT_ELSEWHERE: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export class UploadPlace {
  readonly access: HttpAccess;
  readonly speaks: 'webdav' | 'http';
  readonly #losses: Losses | undefined;

  constructor(access: HttpAccess, speaks: 'webdav' | 'http', losses?: Losses) {
    this.access = access;
    this.speaks = speaks;
    this.#losses = losses;
  }

  /** For people: without secrets. */
  nameOf(url: URL): string {
    return nameOfUrl(url, this.speaks);
  }

  async ask(request: WebRequest, signal: AbortSignal, bytesMax?: number): Promise<WebAnswer & { bytes: Buffer }> {
    return this.#noticing(() => ask(this.access, request, signal, bytesMax));
  }

  async open(request: WebRequest, signal: AbortSignal): Promise<OpenAnswer> {
    return this.#noticing(() => send(this.access, request, signal));
  }

  /** What the failure of a body that was read means. */
  bodyError(url: URL, thrown: unknown, progress: string): TransferError {
    this.#losses?.broke();
    return networkError(this.nameOf(url), thrown, progress);
  }

  /** Something that was written has been read back. */
  wasRead(): void {
    this.#losses?.read();
  }

  /** @throws TransferError E_FLUSH, once, where what was written may be lost */
  assertKept(url: URL): void {
    this.#losses?.assertKept(this.nameOf(url));
  }

  async #noticing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof TransferError && thrown.code === 'E_STOPPED')) this.#losses?.broke();
      throw thrown;
    }
  }

  /** Looks without changing anything, a few times where the server is away for a moment. @throws TransferError */
  async find(url: URL, signal: AbortSignal): Promise<Found> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await (this.speaks === 'webdav' ? this.#propfind(url, signal) : this.#head(url, signal));
      } catch (thrown) {
        await waitToRepeat(TransferError.from(thrown), attempt, signal);
      }
    }
  }

  async #head(url: URL, signal: AbortSignal): Promise<Found> {
    const answer = await this.ask({ method: 'HEAD', url }, signal);
    const { status, headers } = answer;
    if (GONE.has(status)) return { kind: 'nothing' };
    if (UNSEEN.has(status)) return { kind: 'unknown' };
    if (isWithSlash(url, answer)) return { kind: 'folder', url: new URL(`${url.pathname}/`, url) };
    if (status !== 200 && status !== 204) throw refusal(this.nameOf(url), 'cannot be looked at', answer);
    return fileOf(headerOf(headers, 'content-length'), headerOf(headers, 'etag'), headerOf(headers, 'last-modified'));
  }

  async #propfind(url: URL, signal: AbortSignal): Promise<Found> {
    const headers = { depth: '0', 'content-type': 'application/xml; charset=utf-8' };
    const answer = await this.ask({ method: 'PROPFIND', url, headers, body: Buffer.from(PROPFIND) }, signal);
    const { status } = answer;
    if (GONE.has(status)) return { kind: 'nothing' };
    if (isWithSlash(url, answer)) return this.#propfind(new URL(`${url.pathname}/`, url), signal);
    const name = this.nameOf(url);
    if (status === 405 || status === 501) throw notDav(name, `it knows no PROPFIND (status ${status})`);
    if (status !== 207) throw refusal(name, 'cannot be looked at', answer);
    return foundOf(name, url, readMultistatus(name, answer.bytes.toString('utf8'), url.pathname));
  }

  /** Removes it; that there is nothing is as good. @throws TransferError */
  async remove(url: URL, signal: AbortSignal): Promise<void> {
    const answer = await this.ask({ method: 'DELETE', url }, signal);
    if (!succeeded(answer) && answer.status !== 202 && !GONE.has(answer.status))
      throw refusal(this.nameOf(url), 'cannot be removed', answer);
  }

  /** Answers whatever the server did, of which only 201 and 204 are success. */
  async move({ from, to, overwrite, silenceMsMax }: Move, signal: AbortSignal): Promise<WebAnswer> {
    const headers = { destination: to.href, overwrite: overwrite ? 'T' : 'F' };
    return this.ask({ method: 'MOVE', url: from, headers, silenceMsMax }, signal);
  }
}

/** Waits where the server is away for a moment. @throws the error, of anything else, and after the last attempt */
export async function waitToRepeat(error: TransferError, attempt: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.max(REPEAT_MS * attempt, error.detail.retryAfterMs ?? 0);
  if (attempt >= ATTEMPTS_MAX || !AWAY.has(error.code) || waitMs > REPEAT_MS_MAX) throw error;
  await systemClock.sleep(waitMs, signal);
}

/** Servers send whoever asks for a folder to its name with a slash. */
function isWithSlash(url: URL, { status, headers }: WebAnswer): boolean {
  const location = headerOf(headers, 'location');
  if (!SENT_ELSEWHERE.has(status) || location === undefined || !URL.canParse(location, url.href)) return false;
  return new URL(location, url).pathname === `${url.pathname}/`;
}

function foundOf(name: string, url: URL, { status = 200, collection, text }: DavProperties): Found {
  if (GONE.has(status)) return { kind: 'nothing' };
  if (status >= 300) throw refusal(name, 'cannot be looked at', { status, headers: {} });
  if (collection) {
    const free = countOf(text.get('quota-available-bytes'));
    // Without the slash a name would be put beside it.
    const folder = url.pathname.endsWith('/') ? url : new URL(`${url.pathname}/`, url);
    return { kind: 'folder', url: folder, ...(free !== undefined && { freeBytes: free }) };
  }
  return fileOf(text.get('getcontentlength'), text.get('getetag'), text.get('getlastmodified'));
}

function fileOf(length: string | undefined, etag = '', modified = ''): Found {
  const [size, ms] = [countOf(length), Date.parse(modified)];
  return {
    kind: 'file',
    // A server that is not sure yet whether it changes calls it weak, and strong a second later.
    etag: etag.replace(/^W\//, ''),
    modifiedNs: Number.isNaN(ms) ? '' : String(BigInt(ms) * 1_000_000n),
    ...(size !== undefined && { size }),
  };
}

function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
