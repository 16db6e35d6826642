/**
 * Options of HTTP, given to the locations of a call. Credentials are for one server: that of the first location that is
 * reached over HTTP.
 */
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';

const OVER_HTTP: ReadonlySet<string> = new Set(['http', 'https', 'webdav', 'webdavs']);
const CONNECTIONS_MAX = 256;
const FILES = ['tokenFile', 'caFile', 'certFile', 'keyFile'] as const;

/** @throws TransferError E_USAGE for options that cannot be understood, or that are of use to none of the locations */
export function overHttp<L extends readonly Location[]>(
  options: HttpOptions | undefined,
  locations: readonly [...L],
): L {
  const first = locations.find(({ scheme }) => OVER_HTTP.has(scheme));
  assertUnderstood(options, first);
  if (first === undefined) return locations as readonly Location[] as L;
  return locations.map((location) => {
    if (!OVER_HTTP.has(location.scheme)) return location;
    if (originOf(location) === originOf(first)) return { ...location, ...(options && { http: options }) };
    const { caFile, connections, noResumeOk } = options ?? {};
    const http = {
      ...{ isOther: true as const },
      ...(caFile !== undefined && { caFile }),
      ...(connections !== undefined && { connections }),
      ...(noResumeOk && { noResumeOk }),
    };
    return { ...location, http };
  }) as readonly Location[] as L;
}

/** WebDAV is HTTP under another name. */
function originOf({ text }: Location): string {
  return new URL(text.replace(/^webdav/i, 'http')).origin;
}

function assertUnderstood(options: HttpOptions | undefined, first: Location | undefined): void {
  const { headers, connections, noResumeOk, ...files } = options ?? {};
  const usage = (message: string, hint: string): TransferError => new TransferError('E_USAGE', message, { hint });
  for (const name of FILES) {
    if (files[name] !== undefined && (typeof files[name] !== 'string' || files[name] === ''))
      throw usage(`${name} names no file`, 'Give a path, or leave it out.');
  }
  const whole = connections === undefined || (Number.isSafeInteger(connections) && connections > 0);
  if (!whole || (connections ?? 0) > CONNECTIONS_MAX)
    throw usage(`connections is ${connections}`, `Give a whole number from 1 to ${CONNECTIONS_MAX}, or leave it out.`);
  const credentials = Object.keys(headers ?? {}).length > 0 || FILES.some((name) => files[name] !== undefined);
  if (first !== undefined || !(credentials || connections !== undefined)) return;
  throw usage('there are options for a server, and no location is reached over HTTP', 'Leave them out.');
}
