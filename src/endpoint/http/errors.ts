/**
 * The border of HTTP: statuses and socket errors become TransferErrors here, and nothing above sees either. The names
 * that go into their messages come here redacted.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { systemClock } from '../../core/clock.js';
import type { ErrorCode } from '../../core/errors.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { parseRetryAfter } from '../../core/retry-after.js';

/** A header's value; of one that was sent several times, all values joined, which no single value equals. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** What an answer with all of the file says of its size. */
export function wholeBytes(headers: IncomingHttpHeaders): number | undefined {
  const length = headerOf(headers, 'content-length') ?? '';
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

/** @throws TransferError E_PROTOCOL where the bytes would be others than those of the file */
export function assertIdentity(name: string, headers: IncomingHttpHeaders): void {
  const encoding = headerOf(headers, 'content-encoding') ?? 'identity';
  if (encoding.toLowerCase() === 'identity') return;
  const what = `asked for the file as it is, was answered with content-encoding ${encoding}`;
  throw new TransferError('E_PROTOCOL', `${name}: ${what}`, { hint: CHECK_SERVER });
}

export const CHECK_SERVER = 'Check the server and the proxies before it, then resume.';
const AUTH_HINT =
  'Check the credentials: in the URL, a netrc file, --token-file or --header. A presigned URL may have expired: give ' +
  'a fresh one and resume.';
const CERT = '; over https a server that wants a client certificate (--cert) may answer so, too';
/** Of servers that are in trouble and say so with statuses of their own there are many: 520 to 530, for example. */
const FINAL_5XX: ReadonlySet<number> = new Set([501, 505, 506, 507, 508, 510, 511]);

/** Whether it may be done later. A status that nobody knows is as good as the first one of its kind (RFC 9110 §15). */
export function isBusy(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && !FINAL_5XX.has(status));
}

const PROXY_AUTH_HINT = 'Give user and password in HTTP_PROXY or HTTPS_PROXY, as http://user:password@host:port.';

/** What an answer that is neither success nor redirect means. */
export function statusError(name: string, status: number, headers: IncomingHttpHeaders): TransferError {
  if (isBusy(status)) {
    const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), systemClock.wallMs());
    return new TransferError('E_UNAVAILABLE', `${name}: the server cannot answer now (status ${status})`, {
      hint: 'Finished work is kept: run the same command again later.',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  switch (status) {
    case 404:
    case 410:
      return new TransferError('E_SOURCE_MISSING', `${name}: the server has no such file (status ${status})`, {
        hint: 'Check the URL.',
      });
    case 401:
    case 403:
      return new TransferError('E_AUTH', `${name}: the server refuses access (status ${status})`, { hint: AUTH_HINT });
    case 407:
      return proxyRefuses(name, status);
    default:
      return new TransferError(
        'E_HTTP_STATUS',
        `${name}: the server answered with status ${status}, not with the file`,
        {
          hint: `Check that the URL names a file that can be downloaded with a plain GET${status === 400 ? CERT : ''}.`,
        },
      );
  }
}

function proxyRefuses(name: string, status: number): TransferError {
  if (status === 407) {
    const message = `${name}: the proxy before it wants to know who asks (status 407)`;
    return new TransferError('E_AUTH', message, { hint: PROXY_AUTH_HINT });
  }
  const message = `${name}: the proxy before it does not reach it (status ${status})`;
  const hint = 'Check the proxy and what it allows; NO_PROXY names hosts that are asked without it.';
  return new TransferError(status >= 500 ? 'E_UNAVAILABLE' : 'E_HTTP_STATUS', message, { hint });
}

/** The code of an error for bytes beyond the announced length. */
export const SURPLUS_BYTES = 'SURPLUS_BYTES';

const CHECK_NETWORK = 'Check host name, port, proxy and network, then run the same command again.';

/** What errors of these codes mean, and what to do about them. */
const MEANINGS: readonly (readonly [codes: RegExp, kind: ErrorCode, what: string, hint: string])[] = [
  [
    /^(UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT|ETIMEDOUT)$/,
    'E_TIMEOUT',
    'the server was silent for too long',
    'Check the network and the server, then resume.',
  ],
  [
    /^(HPE_.*|UND_ERR_HEADERS_OVERFLOW)$/,
    'E_PROTOCOL',
    'the answer is not valid HTTP',
    'Check what listens there: server, proxy or another service.',
  ],
  [/^SURPLUS_BYTES$/, 'E_PROTOCOL', 'the server sent more than it had announced', CHECK_SERVER],
  [
    /^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/,
    'E_NETWORK',
    "the server's certificate is not trusted, for it is not valid at this time",
    'Check the clock of this machine; else the server needs a new certificate.',
  ],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    'E_NETWORK',
    "the server's certificate is not trusted, for it is that of another host",
    'Ask the server by a name that its certificate has, or check what answers there.',
  ],
  [
    /CERT_REQUIRED|CERTIFICATE_REQUIRED|ALERT_(BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE|HANDSHAKE_FAILURE)/,
    'E_NETWORK',
    'the server did not take the certificate of this side, or wants one',
    'Give a client certificate that it knows, with --cert FILE and --key FILE.',
  ],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/,
    'E_NETWORK',
    "the server's certificate is not trusted",
    'Give the certificate authority that signed it in the variable NODE_EXTRA_CA_CERTS, or for http with --ca FILE.',
  ],
  [
    /^(EPROTO|ERR_SSL_.*)$/,
    'E_NETWORK',
    'no secure connection came about',
    'Check whether https is spoken there, and which versions of TLS.',
  ],
];

/** What a failed connection means; `progress` says how far its answer had come. */
export function networkError(name: string, cause: unknown, progress: string): TransferError {
  const code = errnoOf(cause) ?? '';
  const text = cause instanceof Error ? cause.message : String(cause);
  const proxyStatus = /^PROXY_STATUS_(\d+)$/.exec(code)?.[1];
  if (proxyStatus !== undefined) return proxyRefuses(name, Number(proxyStatus));
  const [, kind, what, hint] = MEANINGS.find(([codes]) => codes.test(code)) ?? [];
  const message = `${name}: ${what ?? 'the connection failed'}${progress} (${code || text})`;
  return new TransferError(kind ?? 'E_NETWORK', message, { hint: hint ?? CHECK_NETWORK, cause });
}
