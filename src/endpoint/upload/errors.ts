/** What the answers of a server that is written to mean: statuses become TransferErrors here. */
import { systemClock } from '../../core/clock.js';
import { type ErrorCode, type ErrorDetail, TransferError } from '../../core/errors.js';
import { parseRetryAfter } from '../../core/retry-after.js';
import { headerOf, isBusy } from '../http/errors.js';
import type { WebAnswer } from './client.js';

const KEPT = 'Finished work is kept.';

const MEANINGS: Readonly<Record<number, readonly [ErrorCode, string, string]>> = {
  400: ['E_HTTP_STATUS', 'the server does not understand the request', 'Check what answers there.'],
  401: ['E_AUTH', 'the server asks for credentials', 'Put them into the URL as user:password@, or into ~/.netrc.'],
  403: ['E_TARGET_ACCESS', 'the server does not allow it', 'Check the rights of the user there.'],
  404: ['E_TARGET_FOLDER', 'the server has no such folder', 'Make the folder there first.'],
  405: ['E_TARGET_KIND', 'the server does not take files there', 'Check the URL, or turn writing on at the server.'],
  407: ['E_AUTH', 'the proxy asks for credentials', 'Put them into HTTP_PROXY or HTTPS_PROXY.'],
  409: ['E_TARGET_FOLDER', 'the folder of the target does not exist', 'Make the folder there first.'],
  410: ['E_TARGET_FOLDER', 'the server has no such folder any more', 'Make the folder there first.'],
  412: ['E_TARGET_EXISTS', 'a file of that name exists there and was left as it is', 'Say --overwrite to replace it.'],
  413: ['E_TOO_LARGE', 'the server refuses a request of that size', 'Raise its limit for the size of a request.'],
  414: ['E_USAGE', 'the server refuses a URL of that length', 'Choose a shorter name.'],
  423: ['E_LOCKED', 'it is locked there', `Find out who holds the lock, then run the same command again. ${KEPT}`],
  501: ['E_TARGET_KIND', 'the server does not know how to do that', 'Check the URL, or turn writing on at the server.'],
  507: ['E_NO_SPACE', 'the server has no room left', `${KEPT} Make room there, then run the same command again.`],
};

/** `doing` follows the name, such as `cannot be written`. */
export function refusal(name: string, doing: string, { status, headers }: WebAnswer): TransferError {
  const fail = (code: ErrorCode, what: string, detail: ErrorDetail): TransferError =>
    new TransferError(code, `${name} ${doing}: ${what} (status ${status})`, detail);
  if (status === 401 && /^digest\b(?!.*\bbasic\b)/i.test(headerOf(headers, 'www-authenticate') ?? '')) {
    const hint = 'Only basic authentication and bearer tokens are known here: turn one of them on there, over https.';
    return fail('E_AUTH', 'the server asks for digest authentication', { hint });
  }
  const meaning = MEANINGS[status];
  if (meaning !== undefined) return fail(meaning[0], meaning[1], { hint: meaning[2] });
  if (isBusy(status)) {
    const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), systemClock.wallMs());
    const hint = `${KEPT} Run the same command again later.`;
    return fail('E_UNAVAILABLE', 'the server cannot do it now', {
      hint,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }
  if (status >= 300 && status < 400) {
    return fail('E_HTTP_STATUS', 'the server sends us elsewhere, where nothing is written unasked', {
      hint: 'Give the URL that it leads to.',
    });
  }
  return fail('E_HTTP_STATUS', 'the server refuses it', { hint: 'Check the URL, and what its server says of it.' });
}

/** RFC 4918 §11.3. */
export const LOCKED = 423;
/** How long a server may need to learn that a connection is gone. */
const LOCKED_MS = 3000;

/** A lock that a request of ours may hold, since it broke or was given up: its server will learn that it is over. */
export function maybeOurLock(name: string): TransferError {
  const why = 'maybe still by a request of ours that broke or was given up';
  return new TransferError('E_UNAVAILABLE', `${name} is locked there, ${why}`, {
    hint: `Find out who holds the lock, then run the same command again. ${KEPT}`,
    retryAfterMs: LOCKED_MS,
  });
}

export function succeeded({ status }: Pick<WebAnswer, 'status'>): boolean {
  return status === 200 || status === 201 || status === 204;
}
