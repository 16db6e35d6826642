/**
 * The border of S3: statuses and the codes of its error documents become TransferErrors here. What a server says in
 * words stays out, since it repeats keys and signatures; its code is all that is passed on.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { systemClock } from '../../core/clock.js';
import { type ErrorCode, type ErrorDetail, TransferError } from '../../core/errors.js';
import { parseRetryAfter } from '../../core/retry-after.js';
import { headerOf } from '../http/errors.js';

export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What the answer is about: the object that is read, the one that is written, or a part on its way into it. */
export type S3End = 'source' | 'target' | 'part';

const KEPT = 'Finished work is kept: run the same command again later.';
const CLOCK = 'Check the clock of this machine, and the secret key.';
const REGION = 'Name the region of the bucket with region=…, and its endpoint if it is not of Amazon.';
const RIGHTS = 'Check the rights of these credentials: reading needs s3:GetObject, writing s3:PutObject and both need';
const AGAIN = 'Finished work is kept: run the same command again; what is missing is sent once more.';

interface Meaning {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

/** What means another thing for some ends. */
interface ByEnd extends Partial<Readonly<Record<S3End, Meaning>>> {
  readonly target: Meaning;
}

const say = (code: ErrorCode, what: string, hint: string): Meaning => ({ code, what, hint });

const denied = say('E_AUTH', 'the server refuses access', `${RIGHTS} s3:ListBucket to tell what is missing.`);
const busy = say('E_UNAVAILABLE', 'the server cannot answer now', KEPT);
const wrongRegion = say('E_USAGE', 'the bucket is in another region, or behind another endpoint', REGION);
const damaged = say('E_TARGET_WRITE', 'other bytes came to the server than were sent', AGAIN);
const partLost = say('E_PART_LOST', 'the unfinished upload is gone from the server', AGAIN);
const archived = say(
  'E_SOURCE_ACCESS',
  'the object lies in an archive and cannot be read at once',
  'Have it restored at the provider, then run the same command again.',
);

const BY_CODE: Readonly<Record<string, Meaning | ByEnd>> = {
  NoSuchBucket: {
    source: say('E_SOURCE_MISSING', 'there is no such bucket', 'Check bucket, endpoint and region.'),
    target: say('E_TARGET_FOLDER', 'there is no such bucket', 'Make the bucket, or check endpoint and region.'),
  },
  // Ceph says so of an upload, too.
  NoSuchKey: { source: say('E_SOURCE_MISSING', 'there is no such object', 'Check the key.'), target: partLost },
  NoSuchVersion: say('E_SOURCE_MISSING', 'there is no such version of the object', 'Check version=….'),
  NoSuchUpload: partLost,
  InvalidPart: say('E_TARGET_CHANGED', 'a part of the upload is not what was sent', AGAIN),
  InvalidPartOrder: say('E_TARGET_CHANGED', 'the parts of the upload are not what was sent', AGAIN),
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  InvalidAccessKeyId: say(
    'E_AUTH',
    'the server does not know this access key',
    'Check AWS_ACCESS_KEY_ID or the profile.',
  ),
  InvalidToken: say(
    'E_AUTH',
    'the session token is not valid',
    'Get new credentials, then run the same command again.',
  ),
  ExpiredToken: say('E_AUTH', 'the session token has expired', 'Get new credentials, then run the same command again.'),
  // The upload was begun with the same credentials, so it is the signature of a piece that is wrong.
  SignatureDoesNotMatch: { target: say('E_AUTH', 'the server computes another signature', CLOCK), part: damaged },
  RequestTimeTooSkewed: say('E_AUTH', 'the clocks of server and client differ by too much', 'Set the clock right.'),
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: say('E_UNAVAILABLE', 'the bucket is moving to another place', KEPT),
  InvalidObjectState: archived,
  SlowDown: say('E_UNAVAILABLE', 'the server asks for fewer requests', KEPT),
  ServiceUnavailable: busy,
  InternalError: busy,
  OperationAborted: busy,
  ConditionalRequestConflict: say('E_UNAVAILABLE', 'somebody else works on this key at this moment', KEPT),
  RequestTimeout: say('E_TIMEOUT', 'the server has waited too long for the body', KEPT),
  IncompleteBody: damaged,
  BadDigest: damaged,
  XAmzContentSHA256Mismatch: damaged,
  EntityTooLarge: say(
    'E_TOO_LARGE',
    'the server takes no object of this size',
    'Nothing was lost. Choose another target.',
  ),
  QuotaExceeded: say('E_NO_SPACE', 'the quota of the bucket or its owner is used up', 'Make room, then run it again.'),
};

const BY_STATUS: Readonly<Record<number, Meaning>> = {
  301: wrongRegion,
  307: wrongRegion,
  400: say('E_HTTP_STATUS', 'the server calls the request a bad one', REGION),
  401: denied,
  403: denied,
  407: say(
    'E_AUTH',
    'the proxy before the server wants to know who asks',
    'Give user and password in HTTP_PROXY or HTTPS_PROXY, as http://user:password@host:port.',
  ),
  408: busy,
  429: busy,
  500: busy,
  502: busy,
  503: busy,
  504: busy,
};

/** What an answer means that is not what was asked for. */
export function s3Error(name: string, answer: S3Answer, end: S3End): TransferError {
  const { status, headers, text } = answer;
  const code = safeCode(wordIn(text, 'Code'));
  const known = code !== undefined && Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  const byCode = known === undefined || 'what' in known ? known : (known[end] ?? known.target);
  const meaning =
    byCode ??
    BY_STATUS[status] ??
    say('E_HTTP_STATUS', 'the server answered otherwise than it should', 'Check bucket, endpoint and rights.');
  const region = safeCode(headerOf(headers, 'x-amz-bucket-region') ?? wordIn(text, 'Region'));
  const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), systemClock.wallMs());
  const detail: ErrorDetail = {
    hint: meaning === wrongRegion && region ? `The bucket is in ${region}: give region=${region}.` : meaning.hint,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
  const about = code === undefined ? `status ${status}` : `${code}, status ${status}`;
  return new TransferError(meaning.code, `${name}: ${meaning.what} (${about})`, detail);
}

/** What an element of an error document says; a proxy's page has none of them. */
function wordIn(text: string, element: 'Code' | 'Region'): string | undefined {
  return new RegExp(`<${element}>([^<]{1,64})</${element}>`).exec(text)?.[1];
}

/** A word of the server's that is fit to be shown. */
function safeCode(text: string | undefined): string | undefined {
  return text !== undefined && /^[A-Za-z0-9-]{1,64}$/.test(text) ? text : undefined;
}
