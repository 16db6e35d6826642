/**
 * The border of HTTP: statuses and socket errors become TransferErrors here, and nothing above sees either. The names
 * that go into their messages come here redacted.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { systemClock } from '../core/clock.js';
import type { ErrorCode } from '../core/errors.js';
import { errnoOf, TransferError } from '../core/errors.js';

/** A header's value; of one that was sent several times, all values joined, which no single value equals. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** `Retry-After` (RFC 9110 §10.2.3), seconds or a date, as milliseconds from now; undefined when it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

const AUTH_HINT = 'Check the credentials in the URL; a presigned URL may have expired: give a fresh one and resume.';

/** What an answer that is neither success nor redirect means. */
export function statusError(name: string, status: number, headers: IncomingHttpHeaders): TransferError {
  switch (status) {
    case 404:
    case 410:
      return new TransferError('E_SOURCE_MISSING', `${name}: the server has no such file (status ${status})`, {
        hint: 'Check the URL.',
      });
    case 401:
    case 403:
    case 407:
      return new TransferError('E_AUTH', `${name}: the server refuses access (status ${status})`, { hint: AUTH_HINT });
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: {
      const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), systemClock.wallMs());
      return new TransferError('E_UNAVAILABLE', `${name}: the server cannot answer now (status ${status})`, {
        hint: 'Finished work is kept: run the same command again later.',
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    }
    default:
      return new TransferError(
        'E_HTTP_STATUS',
        `${name}: the server answered with status ${status}, not with the file`,
        {
          hint: 'Check that the URL names a file that can be downloaded with a plain GET.',
        },
      );
  }
}

const TIMEOUTS = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/;

/** The code of an error for bytes beyond the announced length. */
export const SURPLUS_BYTES = 'SURPLUS_BYTES';

/** What a failed connection means; `progress` says how far its answer had come. */
export function networkError(name: string, cause: unknown, progress: string): TransferError {
  const code = errnoOf(cause) ?? '';
  const reason = code || (cause instanceof Error ? cause.message : String(cause));
  const fail = (kind: ErrorCode, what: string, hint: string): TransferError =>
    new TransferError(kind, `${name}: ${what}${progress} (${reason})`, { hint, cause });
  if (TIMEOUTS.has(code)) {
    return fail('E_TIMEOUT', 'the server was silent for too long', 'Check the network and the server, then resume.');
  }
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') {
    return fail(
      'E_PROTOCOL',
      'the answer is not valid HTTP',
      'Check what listens there: server, proxy or another service.',
    );
  }
  if (code === SURPLUS_BYTES) {
    const hint = 'Check the server and the proxies before it, then resume.';
    return fail('E_PROTOCOL', 'the server sent more than it had announced', hint);
  }
  if (CERTIFICATE.test(code)) {
    const hint = 'Set NODE_EXTRA_CA_CERTS to a file with the certificate authority that signed it.';
    return fail('E_NETWORK', "the server's certificate is not trusted", hint);
  }
  return fail(
    'E_NETWORK',
    'the connection failed',
    'Check host name, port and network, then run the same command again.',
  );
}
