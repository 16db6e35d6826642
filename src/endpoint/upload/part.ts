/**
 * The partial file on a web server: made, opened again, marked, and given its name. What a server answers is looked at
 * before it is believed.
 */
import { TransferError } from '../../core/errors.js';
import { NEVER } from '../../core/stop.js';
import type { CommitRequest, PartMark, PreparedTarget, PrepareRequest } from '../../core/target.js';
import { identityAt } from '../url-path.js';
import { SILENCE_MS_MAX, untilStored } from './client.js';
import { refusal, succeeded } from './errors.js';
import { Losses, newLosses } from './losses.js';
import { withoutQuery } from './names.js';
import { type Found, type Move, UploadPlace, waitToRepeat } from './place.js';
import type { UploadRef } from './site.js';
import { putEmpty, putRange } from './writers.js';

/** A prepared target: it can write. */
export interface UploadPartRef extends UploadRef {
  readonly size: number;
  readonly losses: SharedArrayBuffer;
}

type FoundFile = Found & { kind: 'file' };

/** Where the bytes go until the commit. */
export function writtenTo(ref: UploadRef): URL {
  return new URL(ref.writtenTo);
}

export async function prepareUpload(ref: UploadRef, { size, partial }: PrepareRequest): Promise<PreparedTarget> {
  const shared = newLosses();
  const place = new UploadPlace(ref.access, ref.speaks, new Losses(shared));
  const url = writtenTo(ref);
  const prepared: UploadPartRef = { ...ref, size, losses: shared };
  const zeroed = partial === 'create' && ref.way === 'ranges';
  if (ref.way !== 'in-place') await preparePart(place, url, { size, partial, extend: ref.way === 'ranges' });
  return { ref: prepared, identity: identityAt(url), zeroed };
}

async function preparePart(
  place: UploadPlace,
  url: URL,
  { size, partial, extend }: Pick<PrepareRequest, 'size' | 'partial'> & { readonly extend: boolean },
): Promise<void> {
  const there = await place.find(url, NEVER);
  if (partial === 'create') {
    if (there.kind === 'file') throw partExists(place.nameOf(url));
    await putEmpty({ place, url }, true, NEVER);
  } else if (there.kind !== 'file') {
    throw new TransferError('E_PART_LOST', `the partial copy ${place.nameOf(url)} is gone`);
  }
  const has = there.kind === 'file' ? (there.size ?? 0) : 0;
  if (!extend || has === size) return;
  if (has > size) throw partTooLong(place.nameOf(url), has, size);
  // Its last byte makes it as long as it will be, with zeroes before: what replaces it later is then shorter.
  await putRange(
    { place, url, size, silenceMsMax: SILENCE_MS_MAX },
    { offset: size - 1, bytes: Buffer.alloc(1) },
    NEVER,
  );
  const grown = await place.find(url, NEVER);
  if (grown.kind !== 'file' || grown.size !== size) throw notGrown(place.nameOf(url), size);
}

function partExists(name: string): TransferError {
  return new TransferError('E_PART_FOREIGN', `a partial copy ${name} exists already`, {
    hint: 'It was left as it is. --discard throws it away and starts afresh.',
  });
}

function partTooLong(name: string, has: number, size: number): TransferError {
  return new TransferError(
    'E_PART_UNSAFE',
    `the partial copy ${name} has ${has} bytes, more than the ${size} to come`,
    {
      hint: 'Something else wrote to it, and no web server cuts it off. --discard throws it away and starts afresh.',
    },
  );
}

function notGrown(name: string, size: number): TransferError {
  return new TransferError('E_TARGET_CHANGED', `the partial copy ${name} could not be made ${size} bytes long`, {
    hint: 'See whether the server has room for it, or write to it with upload=whole.',
  });
}

/** @throws TransferError E_TARGET_CHANGED where it is not what was written, by its size */
export async function markUpload(place: UploadPlace, ref: UploadPartRef): Promise<PartMark> {
  const url = writtenTo(ref);
  const found = await place.find(url, NEVER);
  const size = found.kind === 'file' ? found.size : undefined;
  // Of an empty file in place there is nothing until the commit; and some servers do not say.
  const unseen = ref.way === 'in-place' && (size === undefined ? found.kind !== 'nothing' || ref.size === 0 : false);
  if (size !== ref.size && !unseen) throw changed(place.nameOf(url), ref.size, size);
  // Nothing flushes any more: what broke since the last flush is told here.
  place.assertKept(url);
  return markOf(ref, found);
}

/** The server has no inodes. What it calls the version of a file stays when the file is moved. */
function markOf(ref: UploadPartRef, found: Found): PartMark {
  const { etag, modifiedNs } = found.kind === 'file' ? found : { etag: '', modifiedNs: '' };
  return { device: placeOf(ref), inode: etag, size: ref.size, mtimeNs: modifiedNs };
}

/** Fit for the journal: what follows a `?` may be a secret. */
function placeOf(ref: UploadRef): string {
  return withoutQuery(writtenTo(ref)).href;
}

/** Whether this is the file that carries the mark, as far as its server tells files apart. */
function carries(found: Found, mark: PartMark): found is FoundFile {
  if (found.kind !== 'file' || found.size !== mark.size || found.modifiedNs !== mark.mtimeNs) return false;
  return found.etag === mark.inode && (found.etag !== '' || found.modifiedNs !== '');
}

function changed(name: string, size: number, found: number | undefined): TransferError {
  const has = found === undefined ? 'is not there' : `has ${found} bytes`;
  return new TransferError('E_TARGET_CHANGED', `${name} was written with ${size} bytes, and ${has}`, {
    hint: 'Something else writes there, or the server lost it. Run the same command again: all of it is proven then.',
  });
}

/** Answers in sentences what could not be had. */
export async function commitUpload(
  place: UploadPlace,
  ref: UploadPartRef,
  request: CommitRequest,
  silenceMsMax: number,
): Promise<readonly string[]> {
  const [target, part] = [new URL(ref.url), writtenTo(ref)];
  const sentences = request.attributes ? ['--preserve: a web server keeps no owner, permissions and times'] : [];
  if (ref.way === 'in-place') {
    if (ref.size === 0) await putEmpty({ place, url: target }, !ref.exists && !request.overwrite, NEVER);
    const found = await place.find(target, NEVER);
    if (found.kind === 'unknown') return [...sentences, 'the server lets nobody see what it stored'];
    if (found.kind !== 'file' || (found.size ?? ref.size) !== ref.size)
      throw changed(place.nameOf(target), ref.size, sizeOf(found));
    return sentences;
  }
  const complete = await place.find(part, NEVER);
  if (sizeOf(complete) !== ref.size) throw changed(place.nameOf(part), ref.size, sizeOf(complete));
  const names = { part, target, mark: markOf(ref, complete), before: await place.find(target, NEVER) };
  // A look that broke, and was repeated, may have met another start of the server.
  place.assertKept(part);
  const move = {
    from: part,
    to: target,
    overwrite: request.overwrite,
    silenceMsMax: untilStored(ref.size, silenceMsMax),
  };
  await moveToName(place, names, move, ref.guards);
  if (ref.guards || request.overwrite) return sentences;
  return [...sentences, 'the server may replace a file unasked: that none was there was looked up just before'];
}

const sizeOf = (found: Found): number | undefined => (found.kind === 'file' ? found.size : undefined);

interface Names {
  readonly part: URL;
  readonly target: URL;
  readonly mark: PartMark;
  /** What stands under the name before. */
  readonly before: Found;
}

/** A move whose answer was lost may have been done: that is looked at, and not guessed. */
async function moveToName(place: UploadPlace, names: Names, move: Move, guards: boolean): Promise<void> {
  const { part, target, before } = names;
  if (!move.overwrite && !guards && before.kind !== 'nothing') throw exists(place, target);
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await place.move(move, NEVER);
      if (succeeded(answer)) break;
      throw answer.status === 412
        ? exists(place, target)
        : refusal(place.nameOf(target), 'could not be given its name', answer);
    } catch (thrown) {
      if (await isMoved(place, names, carries)) return;
      place.assertKept(part);
      await waitToRepeat(TransferError.from(thrown), attempt, NEVER);
    }
  }
  if (!(await isMoved(place, names, (found) => isAnother(found, names)))) throw notMoved(place, names);
}

async function isMoved(
  place: UploadPlace,
  { part, target, mark }: Names,
  isOurs: (found: Found, mark: PartMark) => boolean,
): Promise<boolean> {
  if ((await place.find(part, NEVER)).kind !== 'nothing') return false;
  return isOurs(await place.find(target, NEVER), mark);
}

/** Of our size, and not what stood there before: some servers call a file otherwise once it was moved. */
function isAnother(found: Found, { mark, before }: Names): boolean {
  if (found.kind !== 'file' || found.size !== mark.size) return false;
  if (before.kind !== 'file' || carries(found, mark)) return true;
  const untold = found.etag === '' && found.modifiedNs === '';
  return untold || found.etag !== before.etag || found.modifiedNs !== before.modifiedNs;
}

function exists(place: UploadPlace, target: URL): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${place.nameOf(target)} exists already and was left as it is`, {
    hint: 'The copy is complete and kept: say --overwrite to put it in its place, or move away what is there.',
  });
}

function notMoved(place: UploadPlace, { part, target }: Names): TransferError {
  const name = place.nameOf(target);
  return new TransferError('E_TARGET_CHANGED', `${name} did not get its name, though the server says so`, {
    hint: `See what is there, and whether ${place.nameOf(part)} is. Then run the same command again.`,
  });
}

/** After a commit that was cut short: whether the target has its name. */
export async function finishUpload(ref: UploadRef, part: PartMark): Promise<boolean> {
  const place = new UploadPlace(ref.access, ref.speaks);
  const written = writtenTo(ref);
  if (part.device !== placeOf(ref)) return false;
  if (ref.way !== 'in-place' && (await place.find(written, NEVER)).kind !== 'nothing') return false;
  return carries(await place.find(new URL(ref.url), NEVER), part);
}

export async function discardUpload(ref: UploadRef): Promise<void> {
  if (ref.way === 'in-place') return;
  await new UploadPlace(ref.access, ref.speaks).remove(writtenTo(ref), NEVER);
}
