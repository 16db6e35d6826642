/**
 * Where the parent of an image may be. What an image says of its parent is hostile until it is checked: it must not
 * make us read any file of this machine, or call any other server. So each place says whether it is to be trusted.
 */
import { realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, resolve, sep } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import type { ParentLink, ParentPath } from './image.js';

/** Of the paths that an image names, and of the places that follow from them; more are left out. */
const PATHS_MAX = 16;

export interface ParentPlace {
  readonly location: Location;
  /** In the child's own folder or below it, or below a folder that the caller named. */
  readonly trusted: boolean;
}

export interface PlacesRequest {
  readonly child: Location;
  readonly link: ParentLink;
  /** Folders that the caller named. */
  readonly parentFolders: readonly string[];
  /** Understands a URL. */
  readonly locate: (text: string) => Location;
}

/** In the order in which they are to be tried: as the image says, then by its name in the folders of the caller. */
export function parentPlaces(request: PlacesRequest): ParentPlace[] {
  const { child, link, parentFolders } = request;
  const paths = link.paths.slice(0, PATHS_MAX);
  const names = new Set(paths.map(({ path }) => basename(path)).filter((name) => !['', '.', '..'].includes(name)));
  const own = isUrl(child) ? folderOf(child.text) : dirname(resolve(child.text));
  const places = [
    ...paths.map((path) => (isUrl(child) ? urlPlace(own, path, request) : pathPlace(own, path, request))),
    ...parentFolders.flatMap((folder) => [...names].map((name) => fileAt(folder, name, [folder]))),
  ].filter((place) => place !== undefined);
  const texts = places.map(({ location }) => location.text);
  return places.filter(({ location }, at) => texts.indexOf(location.text) === at);
}

/** Whether an image that is known by this is the parent that the link means, as far as it says. */
export function meansIdentity({ identity, otherIdentity }: ParentLink, known: string | undefined): boolean {
  if (identity === undefined) return true;
  return known !== undefined && [identity, otherIdentity].some((one) => one?.toLowerCase() === known.toLowerCase());
}

const isUrl = ({ scheme, text }: Location): boolean => scheme !== 'file' && text.includes('://');
const folderOf = (url: string): string => new URL('.', url).href;

/** Relative paths alone, segment by segment, so that nothing in them becomes a host, a query or another scheme. */
function urlPlace(
  folder: string,
  { kind, path }: ParentPath,
  { child, locate }: PlacesRequest,
): ParentPlace | undefined {
  if (kind !== 'relative') return undefined;
  const segments = path.split('/').filter((segment) => segment !== '');
  const { href } = new URL(segments.map((segment) => encodeURIComponent(wellFormed(segment))).join('/'), folder);
  // The same server, asked as it was for the child.
  const location = { ...locate(href), ...(child.http && { http: child.http }) };
  return { location, trusted: href.startsWith(folder) };
}

function pathPlace(folder: string, { path }: ParentPath, request: PlacesRequest): ParentPlace | undefined {
  if (request.child.scheme !== 'file' || !isOfThisSystem(path)) return undefined;
  return fileAt(folder, path, [folder, ...request.parentFolders]);
}

/**
 * `C:/vms/base.vhdx` names nothing where paths begin with a slash: there only its last part can be looked for. Other
 * machines' shares are not called because an image says so.
 */
function isOfThisSystem(path: string): boolean {
  const drive = /^[a-z]:/i.test(path);
  return path !== '' && !path.includes('\0') && !path.startsWith('//') && (!drive || isAbsolute('C:/'));
}

/** Links are followed before it is judged where something is. What is not there is told as it was named. */
function fileAt(folder: string, path: string, trustedFolders: readonly string[]): ParentPlace {
  const text = realPath(resolve(folder, path));
  const trusted = trustedFolders.some((trustedFolder) => isBelow(text, realPath(resolve(trustedFolder))));
  // What is a link by the time that it is opened was put there meanwhile.
  return { location: { scheme: 'file', text, name: showPath(text), links: 'refuse' }, trusted };
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/** Without links, where that is there; else as it is. */
export function realPath(path: string): string {
  try {
    return decodePath(realpathSync.native(encodePath(path), 'buffer'));
  } catch {
    // Whoever opens it says what is wrong with it.
    return path;
  }
}

/** A half of a surrogate pair cannot be written in a URL. */
const wellFormed = (text: string): string => Buffer.from(text).toString();
