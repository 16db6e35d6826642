/** Where a file on a web server would be, what is there now, and in which of three ways it can be written there. */
import type { EndpointRef, Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { NEVER } from '../../core/stop.js';
import { CHUNK_LIMITS, type TargetSite } from '../../core/target.js';
import { type HttpAccess, httpAccess } from '../http/access.js';
import { connectionsOfThread } from '../http/client.js';
import { locationOptions } from '../location-options.js';
import { remoteJournalPath, remotePartTag } from '../remote-journal.js';
import { identityAt } from '../url-path.js';
import { childOf, fileNameOf, folderOf, nameOfUrl, partOf, urlOf, withoutQuery } from './names.js';
import { type Found, UploadPlace } from './place.js';
import { type Abilities, abilitiesAt, NO_ABILITIES } from './probe.js';

/**
 * ranges: a partial file is patched, and then moved to its name · whole: one PUT to a partial file, which is then moved
 * · in-place: one PUT to the name itself.
 */
export type Way = 'ranges' | 'whole' | 'in-place';

/** Holds secrets: it may cross threads, and must not be written down. */
export interface UploadRef extends EndpointRef {
  readonly speaks: 'webdav' | 'http';
  /** Without user and password. */
  readonly url: string;
  readonly access: HttpAccess;
  /** Where the bytes go until the commit. */
  readonly writtenTo: string;
  /** As it was given: another URL of it may be that of a folder. */
  readonly given: Location;
  readonly way: Way;
  /** Moving a file never takes the name of another one unasked. */
  readonly guards: boolean;
  /** Something stood under the name when it was looked at. */
  readonly exists: boolean;
}

const WRITES_PER_WORKER = 4;

/** A query of http belongs to the server: then nothing but this very URL is ours to write to. */
function givenPlace(location: Location): { readonly url: URL; readonly bare: URL; readonly way?: Way } {
  const { url, bare } = urlOf(location.text);
  if (location.scheme === 'http' || location.scheme === 'https')
    return { url, bare, ...(bare.search !== '' && { way: 'in-place' }) };
  const { upload } = locationOptions(bare, ['upload']);
  if (upload !== undefined && upload !== 'whole') {
    throw new TransferError('E_USAGE', `${location.scheme}:// knows no upload=${upload.slice(0, 80)}`, {
      hint: 'upload=whole sends the file by one PUT; leave it out, and ranges are sent where the server takes them.',
    });
  }
  return { url, bare: withoutQuery(bare), ...(upload && { way: 'whole' }) };
}

/** @param sourceName a name inside a folder; empty: nothing is to be written, and nothing is tried out */
export async function locateUpload(location: Location, sourceName: string, threads: number): Promise<TargetSite> {
  const given = givenPlace(location);
  const speaks = /^webdav/.test(location.scheme) ? 'webdav' : 'http';
  const place = new UploadPlace(await httpAccess(given.url, location.http), speaks);
  const { url, there } = await findTarget(place, given.bare, sourceName);
  const folder = speaks === 'webdav' ? await findFolder(place, url) : undefined;
  const abilities = await abilitiesOf(place, url, { way: given.way, sourceName });
  const way = wayBy(abilities, given.way);
  const { device, inode } = identityAt(url);
  const journalPath = remoteJournalPath(`${device}${inode}`);
  const writtenTo = way === 'in-place' ? url : partOf(url, remotePartTag(journalPath));
  const part = way === 'in-place' ? undefined : await place.find(writtenTo, NEVER);
  const exists = there.kind === 'file';
  const ref: UploadRef = {
    ...{ scheme: location.scheme, speaks, given: location, access: place.access },
    ...{ url: url.href, writtenTo: writtenTo.href, way, guards: abilities.guards, exists },
  };
  return {
    ref,
    name: place.nameOf(url),
    fileName: fileNameOf(url),
    journalPath,
    publish: way === 'in-place' ? 'in-place' : 'atomic',
    limits: way === 'ranges' ? CHUNK_LIMITS : { ...CHUNK_LIMITS, chunkCountMax: 1 },
    writesPerWorker: Math.min(WRITES_PER_WORKER, connectionsOfThread(place.access, threads)),
    vouchesForNothing: true,
    notes: [
      ...WAYS[way],
      ...(there.kind === 'unknown' ? [UNSEEN] : []),
      ...abilities.left.map((name) => `${name} was made to try the server out, and stayed there`),
    ],
    ...(way !== 'ranges' && { wholeChunks: true }),
    ...(exists && { existing: identityAt(url) }),
    ...(part?.kind === 'file' && { partial: { identity: identityAt(writtenTo), allocatedBytes: part.size ?? 0 } }),
    ...(folder?.freeBytes !== undefined && { freeBytes: folder.freeBytes }),
  };
}

const ONE_PUT = 'the server takes whole files alone: the file is sent in one piece, and a stop costs all of it';
const UNSEEN =
  'the server does not show whether a file is there: it is asked to leave one as it is (If-None-Match), unless ' +
  '--overwrite is said, and may not know how to do that';
const WAYS: Readonly<Record<Way, readonly string[]>> = {
  ranges: [],
  whole: [ONE_PUT],
  'in-place': [ONE_PUT, 'it is written straight to its name, where it may be seen unfinished meanwhile'],
};

async function findTarget(
  place: UploadPlace,
  bare: URL,
  sourceName: string,
): Promise<{ readonly url: URL; readonly there: Found }> {
  if (bare.pathname.endsWith('/')) return inFolder(place, bare, sourceName);
  fileNameOf(bare);
  const there = await place.find(bare, NEVER);
  return there.kind === 'folder' ? inFolder(place, there.url, sourceName) : { url: bare, there };
}

async function inFolder(place: UploadPlace, folder: URL, sourceName: string): Promise<{ url: URL; there: Found }> {
  const url = childOf(folder, sourceName);
  const there = await place.find(url, NEVER);
  if (there.kind !== 'folder') return { url, there };
  throw new TransferError('E_TARGET_KIND', `${place.nameOf(url)} is a folder`, {
    hint: 'Choose another target. Nothing was changed.',
  });
}

async function findFolder(place: UploadPlace, url: URL): Promise<Found & { kind: 'folder' }> {
  const folder = folderOf(url);
  const found = await place.find(folder, NEVER);
  if (found.kind === 'folder') return found;
  throw new TransferError('E_TARGET_FOLDER', `${nameOfUrl(folder, place.speaks)}: there is no such folder`, {
    hint: 'Make the folder there first: only files are made. Nothing was changed.',
  });
}

async function abilitiesOf(
  place: UploadPlace,
  url: URL,
  { way, sourceName }: { readonly way: Way | undefined; readonly sourceName: string },
): Promise<Abilities> {
  if (way === 'in-place') return NO_ABILITIES;
  // A status only looks: it is told of the partial file whichever way that was made.
  if (sourceName === '') return { ...NO_ABILITIES, moves: true };
  return abilitiesAt(place, url, NEVER);
}

function wayBy({ patches, moves }: Abilities, given: Way | undefined): Way {
  if (given === 'in-place' || !moves) return 'in-place';
  return patches && given !== 'whole' ? 'ranges' : 'whole';
}

/** What stands under the name, as a location to read from. */
export function committedAt({ url: text, given }: UploadRef): Location {
  const [url, { username, password }] = [new URL(text), urlOf(given.text).url];
  url.username = username;
  url.password = password;
  return { ...given, scheme: url.protocol.slice(0, -1), text: url.href };
}
