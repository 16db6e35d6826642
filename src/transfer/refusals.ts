/** What a job is refused for before anything is changed. */
import { type FileIdentity, sameIdentity } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TargetSite } from '../core/target.js';
import type { OpenRequest } from './opening.js';
import type { SourceInfo } from './requests.js';

const IN_PLACE = 'It is written in place: --overwrite writes over what is there.';
const REPLACE = 'Say --overwrite to replace it, once the new copy is complete and proven, or choose another target.';

export function assertApart(source: SourceInfo, site: TargetSite): void {
  const isTarget = (identity: FileIdentity | undefined): boolean =>
    [site.existing, site.partial?.identity].some((other) => sameIdentity(identity, other));
  const what = isTarget(source.identity) ? 'the source itself' : 'an image that the source builds on';
  if (!isTarget(source.identity) && !source.alsoReads?.some(isTarget)) return;
  throw new TransferError('E_USAGE', `${site.name} is ${what}`, {
    hint: 'Choose another target. Nothing was changed.',
  });
}

export function targetExists(site: TargetSite, { manifest }: OpenRequest): TransferError {
  const inPlace = site.publish === 'in-place';
  const only = manifest === undefined ? '' : '\nA copy to null: writes the manifest of a file that is there already.';
  return new TransferError('E_TARGET_EXISTS', `${site.name} exists already and was left as it is`, {
    hint: `${inPlace ? IN_PLACE : REPLACE}${only}`,
  });
}

/** The partial of a target at a peer has its journal there, where that host copies, or with the client that sends. */
const ELSEWHERE =
  'Where another host or user has begun it, or a copy between two peers, the same command there goes on.';

export function foreignPart(site: TargetSite): TransferError {
  return new TransferError('E_PART_FOREIGN', `a partial copy of ${site.name} exists, but its journal is not here`, {
    hint: `It was left as it is. ${ELSEWHERE} --discard throws it away and starts afresh.`,
  });
}

export function assertReadable({ readBack, checksum }: OpenRequest, { unreadable, name }: TargetSite): void {
  const option = readBack ? '--read-back' : checksum ? '--checksum' : undefined;
  if (!unreadable || option === undefined) return;
  throw new TransferError('E_USAGE', `${option}: ${name} can be read when it has its name, and not before`, {
    hint: 'Its server proves what it was sent. `verify` reads all of the finished copy. Nothing was changed.',
  });
}

export function raceLost(request: OpenRequest): never {
  throw new TransferError('E_LOCKED', `another process keeps finishing copies of ${request.target.name}`, {
    hint: 'See what else copies to this target; nothing was changed.',
  });
}

export function assertAdopts({ delta }: OpenRequest, { existing, adopts, name }: TargetSite): void {
  if (!delta || !existing || adopts) return;
  throw new TransferError('E_USAGE', `--delta: nothing can be taken over from ${name} as it is`, {
    hint: 'It takes a regular file, at a path or at peer://. Without --delta all of it is copied. Nothing was changed.',
  });
}
