/**
 * The folders that are offered, and the only way into them: step by step from a root that is held by its descriptor,
 * no link followed. Whatever is renamed or put in its place meanwhile, nothing outside is ever opened.
 */
import { closeSync, lstatSync, openSync } from 'node:fs';
import { basename } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { errnoOf, TransferError } from '../core/errors.js';
import type { Place } from '../core/peer-wire.js';
import { FolderPath, type HeldFolder, inFolder, openFolder, realPath } from '../platform/folder.js';
import { decodePath, showPath } from '../platform/path-bytes.js';

export interface Root extends HeldFolder {
  readonly name: string;
}

/** A name in a folder below a root. Whoever has it closes its descriptor. */
export interface Found {
  readonly folder: HeldFolder;
  readonly name: string;
  /** Below the root. */
  readonly path: string;
  /** For people: the root's name and the path. */
  readonly shown: string;
}

const NAMES_MAX = 255;
/** What copies on this machine keep beside their targets is no business of a peer. */
const OURS = /^\..*\.blockferry-(part|journal|manifest|merge|probe)$/s;

/** `NAME=FOLDER`, or a folder that is called by its last name. @throws TransferError E_USAGE */
export function openRoots(given: readonly string[]): readonly Root[] {
  const roots = given.map((text) => {
    const [, named, path = text] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
    try {
      const real = realPath(path);
      return { name: named ?? basename(real), fd: openFolder(real), path: real };
    } catch (cause) {
      throw new TransferError('E_USAGE', `--root ${showPath(path)}: cannot be opened as a folder (${errnoOf(cause)})`, {
        hint: 'Name an existing folder, as in --root /vms or --root images=/vms.',
        cause,
      });
    }
  });
  const twice = roots.find(({ name }, at) => name === '' || roots.findIndex((root) => root.name === name) !== at);
  if (!twice) return roots;
  throw new TransferError('E_USAGE', `--root ${showPath(twice.path)}: ${twice.name || 'it'} is no name of its own`, {
    hint: 'Give each root its name, as in --root images=/vms.',
  });
}

/** @throws TransferError E_SOURCE_MISSING where there is no such folder, E_USAGE for a path that is none */
export function findSource(roots: readonly Root[], place: Place): Found {
  const { root, names } = readPlace(roots, place);
  const name = names.pop();
  if (name === undefined) throw aFolder('E_SOURCE_KIND', place);
  const found = { ...held(root, names, 'source', place), name, path: place.path, shown: `${place.root}/${place.path}` };
  try {
    const stat = lstatSync(inFolder(found.folder, name), { throwIfNoEntry: false });
    if (stat?.isFile()) return found;
    if (stat === undefined) throw missing('source', place);
    if (stat.isDirectory()) throw aFolder('E_SOURCE_KIND', place);
    const kind = stat.isSymbolicLink() ? 'a symbolic link, and a peer follows none' : 'a device or a special file';
    throw new TransferError('E_SOURCE_KIND', `${found.shown} is ${kind}`, { hint: 'Name a file of the root.' });
  } catch (thrown) {
    closeSync(found.folder.fd);
    if (errnoOf(thrown) === 'ENAMETOOLONG') throw missing('source', place);
    throw thrown;
  }
}

/** Where a target would be: in the folder that the place names, or else under its own last name. */
export function findTarget(roots: readonly Root[], place: Place, sourceName: string | undefined): Found {
  const { root, names } = readPlace(roots, place);
  if (sourceName !== undefined) {
    const folder = tryHeld(root, names);
    if (folder) return inTarget(folder, [...names, nameFor(sourceName, place, folder)], place);
    if (place.path.endsWith('/')) throw missing('target', place);
  }
  const last = names.at(-1);
  if (last === undefined) throw aFolder('E_TARGET_KIND', place);
  const { folder } = held(root, names.slice(0, -1), 'target', place);
  return inTarget(folder, names, place);
}

function inTarget(folder: HeldFolder, names: readonly string[], { root }: Place): Found {
  const path = names.join('/');
  return { folder, name: names.at(-1) as string, path, shown: `${root}/${path}` };
}

/** As the local end takes it: a name in the held folder, which is what it is whatever its path leads to. */
export function locationOf({ folder, name, shown }: Found): Location {
  const text = decodePath(Buffer.from(inFolder(folder, name)));
  return { scheme: 'file', text, name: showPath(shown), shown: showPath(shown), links: 'refuse' };
}

/** The error as the peer may read it: with the path that it knows, and not with how we reach it. */
export function asTold(thrown: unknown, { folder, shown }: Pick<Found, 'folder' | 'shown'>): TransferError {
  const { code, message, detail } = TransferError.from(thrown);
  const above = shown.slice(0, shown.lastIndexOf('/') + 1);
  const plain = (text: string): string => text.replaceAll(`${decodePath(Buffer.from(inFolder(folder, '')))}/`, above);
  return new TransferError(code, plain(message), { ...detail, ...(detail.hint && { hint: plain(detail.hint) }) });
}

/** How a folder is reached here is nobody else's business. */
export function withoutDescriptors(text: string): string {
  return text.replace(/\/proc\/self\/fd\/\d+\//g, '');
}

export interface Read {
  readonly root: Root;
  readonly names: string[];
}

/** @throws TransferError E_AUTH for an unknown root, E_USAGE for a path that leaves it */
export function readPlace(roots: readonly Root[], place: Place): Read {
  const root = roots.find(({ name }) => name === place.root);
  if (!root) throw new TransferError('E_AUTH', `there is no root ${place.root}, or not for this token`, ROOT_HINT);
  const names = place.path.replace(/\/$/, '').split('/');
  if (names.length === 1 && names[0] === '') return { root, names: [] };
  if (names.length <= NAMES_MAX && names.every(isName)) return { root, names };
  throw new TransferError('E_USAGE', `${place.root}/${place.path} is no path below a root`, {
    hint: 'It has names between single slashes: no "..", no ".", and none of the hidden files that copies keep.',
  });
}

export const ROOT_HINT = { hint: 'Ask whoever runs the peer which roots it offers you.' } as const;

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name) && !OURS.test(name);
}

/** It comes from the client, who has it from a server perhaps. */
function nameFor(sourceName: string, place: Place, folder: HeldFolder): string {
  if (isName(sourceName)) return sourceName;
  closeSync(folder.fd);
  throw new TransferError('E_USAGE', `${place.root}/${place.path} is a folder, and the source has no fit name`, {
    hint: 'Give the target a file name. Nothing was changed.',
  });
}

/** The folder, or undefined where a name of it is no folder, or is missing. */
function tryHeld(root: Root, names: readonly string[]): HeldFolder | undefined {
  const path = new FolderPath(root);
  try {
    const { fd, path: shown } = path.open(names.join('/'));
    return { fd: openSync(inFolder({ fd, path: shown }, ''), 'r'), path: shown };
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].includes(errnoOf(thrown) ?? '')) return undefined;
    throw thrown;
  } finally {
    path.release(true);
  }
}

function held(root: Root, names: readonly string[], end: 'source' | 'target', place: Place): { folder: HeldFolder } {
  try {
    const folder = tryHeld(root, names);
    if (folder) return { folder };
  } catch (cause) {
    const code = end === 'source' ? 'E_SOURCE_ACCESS' : 'E_TARGET_ACCESS';
    throw new TransferError(code, `${place.root}/${place.path}: its folder cannot be opened (${errnoOf(cause)})`, {
      hint: 'Check the permissions at the peer.',
      cause,
    });
  }
  throw missing(end, place);
}

function missing(end: 'source' | 'target', { root, path }: Place): TransferError {
  const shown = `${root}/${path}`;
  if (end === 'source') {
    return new TransferError('E_SOURCE_MISSING', `${shown}: no such file`, {
      hint: 'Check the path; links are not followed.',
    });
  }
  return new TransferError('E_TARGET_FOLDER', `${shown}: the folder of the target does not exist`, {
    hint: 'Make it at the peer first. Links are not followed.',
  });
}

function aFolder(code: 'E_SOURCE_KIND' | 'E_TARGET_KIND', { root, path }: Place): TransferError {
  return new TransferError(code, `${root}/${path} is a folder; a file was expected`, {
    hint: 'Name a file in it. Whole folders are not copied between peers yet.',
  });
}
