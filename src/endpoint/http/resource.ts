/**
 * Where an HTTP source is: the URL that was given, and the one that its redirects led to. Credentials go to the origin
 * that they were given for and nowhere else, and a redirect never leads from https to http.
 */
import { TransferError } from '../../core/errors.js';
import { redactedUrl } from '../location.js';
import { type HttpAccess, headersFor } from './access.js';
import { Exchange, type HttpClient } from './exchange.js';

const REDIRECTS_MAX = 10;

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What a redirect's target answers when the permission in it has expired. */
const EXPIRED = new Set([401, 403, 404, 410]);

export class HttpResource {
  /** For people: without secrets. */
  readonly name: string;
  readonly url: string;
  readonly access: HttpAccess;
  readonly #given: URL;
  readonly #client: HttpClient;
  #final: URL;

  constructor(client: HttpClient, access: HttpAccess, url: string, finalUrl = url) {
    this.#client = client;
    this.access = access;
    this.url = url;
    this.#given = parseUrl(url);
    this.#final = finalUrl === url ? this.#given : parseUrl(finalUrl);
    this.name = redactedUrl(url);
  }

  get finalUrl(): string {
    return this.#final.href;
  }

  /**
   * A GET that follows redirects; the caller judges the answer. It starts where the last redirects led, and once more
   * from the given URL when that place refuses: a presigned redirect expires long before a huge file is copied.
   */
  async get(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchange> {
    let exchange = await this.#follow(this.#final, headers, signal);
    if (EXPIRED.has(exchange.status) && this.#final.href !== this.#given.href) {
      exchange.abort();
      exchange = await this.#follow(this.#given, headers, signal);
    }
    if (exchange.status < 400) this.#final = exchange.url;
    return exchange;
  }

  async #follow(from: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchange> {
    let url = from;
    for (let hops = 0; hops <= REDIRECTS_MAX; hops++) {
      const exchange = await Exchange.open(this.#client, url, this.#headersFor(url, headers), signal);
      if (!REDIRECTS.has(exchange.status)) return exchange;
      exchange.abort();
      url = nextUrl(url, exchange.headers.location);
    }
    throw refused(url, `more than ${REDIRECTS_MAX} redirects`, 'The redirects may go in a circle: check the URL.');
  }

  #headersFor(url: URL, headers: Readonly<Record<string, string>>): Record<string, string> {
    return {
      'user-agent': 'blockferry',
      // A compressed answer would have other bytes at these offsets.
      'accept-encoding': 'identity',
      ...headersFor(this.access, url),
      ...headers,
    };
  }
}

function nextUrl(from: URL, location: string | undefined): URL {
  const url = location === undefined || !URL.canParse(location, from.href) ? undefined : new URL(location, from);
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw refused(from, 'a redirect that leads to no http(s) URL', 'Check the server, or give the final URL itself.');
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    const hint = 'Nothing sent over plain http could be trusted: give an https URL that stays on https.';
    throw refused(from, `a redirect from https to ${redactedUrl(url.href)}`, hint);
  }
  return url;
}

function refused(at: URL, what: string, hint: string): TransferError {
  return new TransferError('E_HTTP_STATUS', `${redactedUrl(at.href)}: refused to follow ${what}`, { hint });
}

/** @throws TransferError E_USAGE */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new TransferError('E_USAGE', 'the location is not an http or https URL', {
    hint: 'Write it as https://host/path; special characters in user name or password as %XX.',
  });
}
