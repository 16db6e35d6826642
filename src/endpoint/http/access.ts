/**
 * What a server is asked with: headers and credentials, certificates, the proxy between, and how many connections. It
 * is found out once, when a location is opened, and is plain data then: any thread asks the same way. Credentials are
 * for the origin of the location alone.
 */
import { open } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { HttpAsked, HttpOptions } from '../../core/http-options.js';
import { MiB } from '../../core/units.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { redactedUrl } from '../location.js';
import { netrcLogin, othersMayRead } from './netrc.js';
import { basic, basicOf, type ProxyRules, type ProxyServer, proxyOf, proxyRules } from './proxy.js';

/** PEM, as Node takes it. */
export interface HttpTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Holds secrets: it may cross threads, and must not be written down. */
export interface HttpAccess {
  /** Such as `https://host:8443`. */
  readonly origin: string;
  /** Of requests to that origin: names in lower case, `authorization` among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: HttpTls;
  readonly proxies: ProxyRules;
  /** To one server, over all threads; absent: as many as are usual. */
  readonly connections?: number;
}

const FILE_BYTES_MAX = MiB;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** RFC 6750 §2.1. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
/** What we say ourselves: another value would ask for something else than what is then taken for it. */
const OURS = new RegExp(
  '^(host|connection|keep-alive|content-.*|transfer-encoding|te|trailer|upgrade|expect|range|if-.*|accept-encoding' +
    '|proxy-.*|want-.*-digest)$',
);

/**
 * For an http or https URL, with the user and the password that may be in it.
 * @throws TransferError E_USAGE for options that cannot be used, and files that cannot be read
 */
export async function httpAccess(
  url: URL,
  options: HttpAsked = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<HttpAccess> {
  const given = headersOf(options.headers ?? {});
  const authorization = given.authorization ?? (await authorizationOf(url, options, env));
  const { connections } = options;
  return {
    origin: url.origin,
    headers: { ...given, ...(authorization !== undefined && { authorization }) },
    tls: await tlsOf(options),
    proxies: proxyRules(env),
    ...(connections !== undefined && { connections }),
  };
}

/** What a request to this URL has besides its own headers. */
export function headersFor({ origin, headers }: HttpAccess, url: URL): Readonly<Record<string, string>> {
  return url.origin === origin ? headers : {};
}

/** A client certificate says who we are, so that it is for the origin alone, too. */
export function tlsFor({ origin, tls }: HttpAccess, url: URL): HttpTls {
  if (url.origin === origin) return tls;
  return tls.ca === undefined ? {} : { ca: tls.ca };
}

/** Undefined: the server is asked directly. */
export function proxyFor({ proxies }: HttpAccess, url: URL): ProxyServer | undefined {
  return proxyOf(proxies, url);
}

function headersOf(given: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase();
    const ours = OURS.test(key);
    if (!NAME.test(name) || typeof value !== 'string' || !VALUE.test(value) || ours) {
      // A value may be a secret, and so may what only looks like a name.
      const what = ours ? `the header ${name} is said by Blockferry itself` : 'a header cannot be sent as it was given';
      throw new TransferError('E_USAGE', what, { hint: 'Leave it out, or write it as "Name: value", in one line.' });
    }
    headers[key] = value.trim();
  }
  return headers;
}

async function authorizationOf(url: URL, options: HttpAsked, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (url.password !== '') return basicOf(url, redactedUrl(url.href));
  const token = url.username === '' && !options.isOther ? await tokenOf(url, options, env) : undefined;
  if (token !== undefined) return `Bearer ${token}`;
  const named = url.username === '' ? undefined : basicOf(url, redactedUrl(url.href));
  const user = named === undefined ? '' : decodeURIComponent(url.username);
  const login = await netrcLogin(url.hostname.replace(/^\[(.*)\]$/, '$1'), user, env);
  return login ? basic(login.user, login.password) : named;
}

async function tokenOf(url: URL, { tokenFile }: HttpOptions, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const from = tokenFile === undefined ? 'BLOCKFERRY_HTTP_TOKEN' : showPath(tokenFile);
  const text = tokenFile === undefined ? env.BLOCKFERRY_HTTP_TOKEN : await readSecret(tokenFile);
  const token = text?.trim() ?? '';
  if (token === '' && tokenFile === undefined) return undefined;
  if (!TOKEN.test(token)) {
    throw new TransferError('E_USAGE', `${from} holds no bearer token`, {
      hint: 'It is one line of letters, digits and -._~+/=, without "Bearer" before it.',
    });
  }
  if (url.protocol === 'https:' || isThisMachine(url.hostname)) return token;
  throw new TransferError('E_USAGE', `${redactedUrl(url.href)}: a bearer token is not sent over plain http`, {
    hint: `Everybody on the way could read and use it. Give an https URL, or copy without ${from}.`,
  });
}

const isThisMachine = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host);

async function tlsOf({ caFile, certFile, keyFile }: HttpOptions): Promise<HttpTls> {
  if (keyFile !== undefined && certFile === undefined) {
    throw new TransferError('E_USAGE', 'a key was given for a client certificate, and no certificate', {
      hint: 'Give its certificate too.',
    });
  }
  const ca = caFile === undefined ? undefined : await usable(caFile, (pem) => ({ ca: pem }));
  if (certFile === undefined) return ca === undefined ? {} : { ca };
  const cert = await usable(certFile, (pem) => ({ cert: pem }));
  const key = await usable(keyFile ?? certFile, (pem) => ({ cert, key: pem }));
  return { cert, key, ...(ca !== undefined && { ca }) };
}

/** The PEM file, once OpenSSL has taken it: a mistake is told here, by its name, and not by a failed handshake. */
async function usable(path: string, tried: (pem: string) => HttpTls): Promise<string> {
  const pem = await readFile(path);
  try {
    createSecureContext(tried(pem));
    if (pem.includes('-----BEGIN')) return pem;
  } catch (cause) {
    throw unusable(path, cause);
  }
  throw unusable(path);
}

function unusable(path: string, cause?: unknown): TransferError {
  const code = errnoOf(cause) ?? (cause instanceof Error ? cause.message : 'no PEM');
  return new TransferError('E_USAGE', `${showPath(path)} cannot be used as a certificate or key (${code})`, {
    hint: 'It must be a PEM file, a key without a passphrase, and a key that belongs to its certificate.',
  });
}

async function readFile(path: string, secret = false): Promise<string> {
  const { text, shared } = await readBounded(path).catch((cause) => {
    throw new TransferError('E_USAGE', `${showPath(path)} cannot be read (${errnoOf(cause) ?? cause.message})`, {
      hint: 'Check its name and its permissions.',
    });
  });
  if (!secret || !shared) return text;
  throw new TransferError('E_USAGE', `${showPath(path)} holds a secret, and others may read it`, {
    hint: `Say: chmod 600 ${showPath(path)}`,
  });
}

const readSecret = (path: string): Promise<string> => readFile(path, true);

async function readBounded(path: string): Promise<{ readonly text: string; readonly shared: boolean }> {
  const file = await open(encodePath(path), 'r');
  try {
    const stat = await file.stat();
    // What a shell makes of <(command) is a pipe, which is nobody else's.
    if (stat.isFile() && stat.size > FILE_BYTES_MAX) throw new Error('it is too large');
    return { text: await file.readFile('utf8'), shared: stat.isFile() && othersMayRead(stat) };
  } finally {
    await file.close();
  }
}
