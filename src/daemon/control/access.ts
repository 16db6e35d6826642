/**
 * Who asks, and from where. Over the socket it is this user, an administrator; over HTTP a token says who, and a
 * browser is believed only when its page is our own (no DNS rebinding, no forged requests).
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { userInfo } from 'node:os';
import type { Clock } from '../../core/clock.js';
import { sha256Hex } from '../../core/digest.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { Caller } from '../../service/job-service.js';
import { TokenBook, type TokenEntry } from '../tokens.js';
import { newSession, readSession, SESSION_MS } from './sessions.js';

export interface AccessParts {
  /** The folder of tokens.json. */
  readonly tokens: string;
  readonly clock: Clock;
  readonly secure: boolean;
  /** What the Host header may say beside addresses and `localhost`. */
  readonly names: readonly string[];
}

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

export class Access {
  readonly #book: TokenBook;
  readonly #clock: Clock;
  readonly #secure: boolean;
  readonly #names: ReadonlySet<string>;
  readonly #bySocket = new WeakSet<IncomingMessage>();
  readonly #user: Caller = { name: userName(), admin: true };
  /** Cookies know no ports: two services of one host have cookies of their own. */
  #cookie = 'blockferry';

  constructor({ tokens, clock, secure, names }: AccessParts) {
    this.#book = new TokenBook(tokens);
    this.#clock = clock;
    this.#secure = secure;
    this.#names = new Set(names.map((name) => name.toLowerCase()));
  }

  listensOn(port: number): void {
    this.#cookie = `blockferry-${port}`;
  }

  /** To be said of each request that came so, before it is answered. */
  cameBySocket(request: IncomingMessage): void {
    this.#bySocket.add(request);
  }

  /** @throws TransferError E_FORBIDDEN: a name that is not ours, or a page that is not */
  assertOurs(request: IncomingMessage): void {
    const { headers } = request;
    const { host = '', origin } = headers;
    if (!this.#bySocket.has(request) && !this.#isOurName(host)) {
      throw new TransferError('E_FORBIDDEN', `this service is not known as ${JSON.stringify(host.slice(0, 255))}`, {
        hint: 'Call it by its address, or let the service know its name.',
      });
    }
    const ownOrigin = `${this.#secure ? 'https' : 'http'}://${host}`.toLowerCase();
    const foreign = origin !== undefined && origin.toLowerCase() !== ownOrigin;
    // A link may lead here; what else another page has its browser ask for is none of ours.
    const { 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = headers;
    if (foreign || (site !== 'none' && site !== 'same-origin' && mode !== 'navigate')) {
      throw new TransferError('E_FORBIDDEN', 'a page from elsewhere may not call this service');
    }
  }

  /** @throws TransferError E_AUTH without a token or a session that counts, E_FORBIDDEN where it has not the right */
  caller(request: IncomingMessage): Caller {
    if (this.#bySocket.has(request)) return this.#user;
    const entry = this.#byToken(request) ?? this.#bySession(request);
    if (entry) return this.#callerOf(entry);
    throw new TransferError('E_AUTH', 'a token is needed that is known here, and has not expired', {
      hint: 'Whoever runs the service makes one: blockferry serve token add NAME --rights jobs',
    });
  }

  /** Whether the caller of an earlier request would be the same now. */
  isStill(request: IncomingMessage, { name, admin }: Caller): boolean {
    try {
      const now = this.caller(request);
      return now.name === name && now.admin === admin;
    } catch (thrown) {
      if (thrown instanceof TransferError) return false;
      throw thrown;
    }
  }

  /** The cookie of a new session. @throws TransferError as {@link caller} */
  openSession(request: IncomingMessage): { readonly caller: Caller; readonly cookie: string } {
    const entry = this.#byToken(request);
    if (!entry) throw new TransferError('E_AUTH', 'a session begins with a token that is known here');
    const session = newSession(entry, this.#clock.wallMs());
    return { caller: this.#callerOf(entry), cookie: this.#setCookie(session, SESSION_MS / 1000) };
  }

  closedSession(): string {
    return this.#setCookie('', 0);
  }

  #isOurName(host: string): boolean {
    const name = host.toLowerCase().replace(/:\d{1,5}$/, '');
    const address = /^\[(.+)\]$/.exec(name)?.[1] ?? name;
    return isIP(address) !== 0 || name === 'localhost' || this.#names.has(name);
  }

  #byToken({ headers }: IncomingMessage): TokenEntry | undefined {
    const [, token] = /^Bearer ([\w-]{1,200})$/i.exec(headers.authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const hash = sha256Hex(Buffer.from(token));
    return this.#read((book, nowMs) => book.find(hash, nowMs));
  }

  #bySession({ headers, method = '' }: IncomingMessage): TokenEntry | undefined {
    // Browsers name the page with each request that changes anything; one without is none of a browser's own.
    if (headers.authorization !== undefined || (headers.origin === undefined && !SAFE_METHODS.has(method))) return;
    const cookies = (headers.cookie ?? '').split(';').map((cookie) => cookie.trim());
    const ours = cookies.find((cookie) => cookie.startsWith(`${this.#cookie}=`));
    const session = ours?.slice(this.#cookie.length + 1);
    return session === undefined ? undefined : this.#read((book, nowMs) => readSession(session, book, nowMs));
  }

  #callerOf({ name, rights }: TokenEntry): Caller {
    const admin = rights.includes('admin');
    if (!admin && !rights.includes('jobs')) {
      throw new TransferError('E_FORBIDDEN', `the token of ${name} is for files, not for jobs`, {
        hint: 'A token for jobs has the right jobs, or admin.',
      });
    }
    // Owners are told apart by their names: this one would have all jobs that were made over the socket.
    if (!admin && name === this.#user.name) {
      throw new TransferError('E_FORBIDDEN', `${name} is the service's own user, whose jobs are not for this token`, {
        hint: 'Give the client a token of another name, or one with the right admin.',
      });
    }
    return { name, admin };
  }

  /** What is wrong with the file of tokens is for the log, and no business of whoever asks. */
  #read(find: (book: TokenBook, nowMs: number) => TokenEntry | undefined): TokenEntry | undefined {
    try {
      return find(this.#book, this.#clock.wallMs());
    } catch (cause) {
      throw new TransferError('E_UNAVAILABLE', 'the tokens of this service cannot be read now', {
        hint: 'Look into the log of the service.',
        cause,
      });
    }
  }

  #setCookie(value: string, seconds: number): string {
    const secure = this.#secure ? '; Secure' : '';
    return `${this.#cookie}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}${secure}`;
  }
}

/** Whose the jobs are that come over the socket. In a container there may be no name for the user's number. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
