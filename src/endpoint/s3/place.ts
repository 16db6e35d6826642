/**
 * Where an object is: `s3://bucket/key`, and what its query, else the environment, says of the way there. A place is
 * plain data without secrets, so that it may be part of a ref and of a name.
 */
import { isIP } from 'node:net';
import type { Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { locationOptions } from '../location-options.js';

export interface S3Place {
  readonly bucket: string;
  /** As the server knows it: not encoded; may be empty or end with `/` until a name inside it is known. */
  readonly key: string;
  /** Such as `https://s3.eu-west-1.amazonaws.com`; without a slash at its end. */
  readonly endpoint: string;
  readonly region: string;
  /** Where the bucket's name goes: into the path, or before the host. */
  readonly style: 'path' | 'host';
  /** Whose credentials, of the shared files. */
  readonly profile?: string;
  /** Of a source: this version, and no other. */
  readonly version?: string;
  /** Nothing is signed. */
  readonly anonymous?: true;
}

const OPTIONS = ['endpoint', 'region', 'style', 'profile', 'version', 'anonymous'] as const;
type Options = Partial<Readonly<Record<(typeof OPTIONS)[number], string>>>;

const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;
/** A wildcard certificate covers one label, so a bucket with dots in its name has to go into the path. */
const HOST_BUCKET = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const REGION = /^[A-Za-z0-9-]{1,64}$/;
/** Bytes, of all servers that are known. */
const KEY_BYTES_MAX = 1024;

/** @throws TransferError E_USAGE */
export function placeOf(location: Location): S3Place {
  const url = new URL(location.text);
  if (url.username !== '' || url.password !== '' || url.port !== '' || url.hash !== '') throw notAPlace(location.name);
  const bucket = url.hostname;
  if (!BUCKET.test(bucket)) throw notAPlace(location.name);
  // Not from the URL, which has taken `..` out of the path already.
  const path = /^[^:]+:\/\/[^/?#]*\/?([^?#]*)/.exec(location.text)?.[1] ?? '';
  const options = locationOptions(url, OPTIONS);
  const region = regionOf(options);
  const custom = options.endpoint ?? (process.env.AWS_ENDPOINT_URL_S3 || process.env.AWS_ENDPOINT_URL);
  const endpoint = custom ? readEndpoint(custom) : amazonEndpoint(region);
  return {
    bucket,
    key: readKey(path, location.name),
    endpoint,
    region,
    style: styleOf(options, custom ? 'path' : HOST_BUCKET.test(bucket) ? 'host' : 'path', { bucket, endpoint }),
    ...(options.profile && { profile: options.profile }),
    ...(options.version && { version: options.version }),
    ...(isAnonymous(options) && { anonymous: true }),
  };
}

/** The place of an object that is to be in a "folder", which is a key that ends with a slash, or a bucket alone. */
export function placeInside(place: S3Place, name: string): S3Place {
  if (place.key !== '' && !place.key.endsWith('/')) return place;
  const key = place.key + name;
  assertKey(key, name);
  return { ...place, key };
}

/** For people. */
export function nameOf({ bucket, key }: S3Place): string {
  return `s3://${bucket}/${key}`;
}

/** What names the object beyond doubt, whoever asks and by whichever style. */
export function identityOf({ endpoint, bucket }: S3Place): string {
  return `s3 ${endpoint} ${bucket}`;
}

/** Amazon's own servers, of which it is known what they do. */
export function isAmazon({ endpoint }: S3Place): boolean {
  return /\.amazonaws\.com(\.cn)?$/.test(new URL(endpoint).hostname);
}

/** The URL of the object, or of its bucket, in the one spelling that is signed. */
export function urlOf(place: S3Place, query: Readonly<Record<string, string>> = {}, key = place.key): URL {
  const { endpoint, bucket, style } = place;
  const url = new URL(endpoint);
  if (style === 'host') url.hostname = `${bucket}.${url.hostname}`;
  const base = url.pathname === '/' ? '' : url.pathname;
  const path = [...(style === 'path' ? [bucket] : []), ...key.split('/')].map(encodeStrictly).join('/');
  const pairs = Object.entries(query).map(([name, value]) => `${encodeStrictly(name)}=${encodeStrictly(value)}`);
  return new URL(`${url.origin}${base}/${path}${pairs.length > 0 ? `?${pairs.join('&')}` : ''}`);
}

/** RFC 3986: all but the unreserved characters. */
function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function readKey(path: string, name: string): string {
  try {
    const key = decodeURIComponent(path);
    assertKey(key, name);
    return key;
  } catch (thrown) {
    if (!(thrown instanceof URIError)) throw thrown;
    throw new TransferError('E_USAGE', `${name}: the key cannot be read`, {
      hint: 'Write % as %25, ? as %3F and # as %23.',
      cause: thrown,
    });
  }
}

function assertKey(key: string, name: string): void {
  const dots = key.split('/').some((part) => part === '.' || part === '..');
  // What is no character could not be sent as it is.
  const wrong = dots
    ? 'a part that is . or ..'
    : /\p{Surrogate}/u.test(key)
      ? 'bytes that are no characters'
      : undefined;
  const long = Buffer.byteLength(key) > KEY_BYTES_MAX ? `more than ${KEY_BYTES_MAX} bytes` : undefined;
  if (wrong === undefined && long === undefined) return;
  throw new TransferError('E_USAGE', `${name}: the key of an object cannot have ${wrong ?? long}`, {
    hint: 'Choose another key.',
  });
}

function regionOf(options: Options): string {
  const region = options.region ?? (process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || 'us-east-1');
  if (REGION.test(region)) return region;
  throw new TransferError('E_USAGE', `${JSON.stringify(region.slice(0, 80))} is not a region`, {
    hint: 'Write it as region=eu-central-1, or as the provider of the bucket says.',
  });
}

function amazonEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

function readEndpoint(text: string): string {
  const full = text.includes('://') ? text : `https://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  const plain = url !== undefined && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (plain && /^https?:$/.test(url.protocol) && url.hostname !== '') {
    return url.origin + url.pathname.replace(/\/+$/, '');
  }
  throw new TransferError('E_USAGE', 'the endpoint of an S3 location is not an http(s) URL', {
    hint: 'Write it as endpoint=https://host:port, without user, password or query.',
  });
}

function styleOf(
  { style }: Options,
  usual: S3Place['style'],
  { bucket, endpoint }: Pick<S3Place, 'bucket' | 'endpoint'>,
): S3Place['style'] {
  if (style === undefined) return usual;
  const { hostname } = new URL(endpoint);
  // An address takes no name before it: the bucket would be left out, and the first part of the key taken for it.
  const takesNames = isIP(hostname.replace(/^\[(.*)\]$/, '$1')) === 0;
  if (style === 'path' || (style === 'host' && takesNames && HOST_BUCKET.test(bucket))) return style;
  const hint =
    'It is path (https://endpoint/bucket/key) or host (https://bucket.endpoint/key, for plain names alone, at an ' +
    'endpoint that is a name and no address).';
  throw new TransferError('E_USAGE', `style=${style.slice(0, 80)} does not suit the bucket ${bucket} at ${hostname}`, {
    hint,
  });
}

function isAnonymous({ anonymous }: Options): boolean {
  if (anonymous === undefined || anonymous === 'false' || anonymous === '0') return false;
  if (anonymous === 'true' || anonymous === '1' || anonymous === '') return true;
  throw new TransferError('E_USAGE', 'anonymous is true or false', {
    hint: 'Leave it out where there are credentials.',
  });
}

function notAPlace(name: string): TransferError {
  return new TransferError('E_USAGE', `${name} does not name an object of a bucket`, {
    hint: 'Write it as s3://bucket/key; a port belongs to endpoint=…, credentials to the environment, # is %23.',
  });
}
