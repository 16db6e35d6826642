/** The scheme `sftp`: files of an SSH server, in pieces, many at a time, over a connection for each thread. */
import { posix } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { CHUNK_LIMITS, type TargetSite } from '../core/target.js';
import type { EndpointScheme } from './registry.js';
import { remoteJournalPath } from './remote-journal.js';
import { fileNameAt, readPlace, type SftpAddress, serverKey, serverName } from './sftp/address.js';
import { again } from './sftp/again.js';
import { type SftpClient, threadClient } from './sftp/client.js';
import { doing, ifThere } from './sftp/errors.js';
import {
  finishPublishing,
  partAt,
  preparePart,
  type SftpPreparedRef,
  type SftpTargetRef,
  withFolder,
} from './sftp/part.js';
import type { SftpSession } from './sftp/session.js';
import { absolute, identityAt, openAt, openSftpSource, SftpSource, TASKS_PER_WORKER } from './sftp/source.js';
import { SftpTarget } from './sftp/target.js';
import { EXTENSION, kindOf } from './sftp/wire.js';

/** Each thread has a client of its own, unless one is given. */
export function sftpScheme(given?: SftpClient): EndpointScheme {
  const client = given ?? threadClient();
  const known = <R extends SftpTargetRef>(ref: R): R => {
    Object.assign(client.secrets, ref.secrets);
    return ref;
  };
  return {
    openSource: (location) => openSftpSource(client, location),
    openCommittedSource: (ref) => openAt(client, known(ref as SftpTargetRef).address, (ref as SftpTargetRef).path),
    attachSource: (ref) => new SftpSource(client, known(ref as SftpSource['ref'])),
    locateTarget: (location, sourceName) => again(() => locate(client, location, sourceName)),
    prepareTarget: async (ref, request) => {
      const target = known(ref as SftpTargetRef);
      const name = fileNameAt(target.address, target.path);
      return doing('open-target', name, async () => preparePart(await client.session(target.address), target, request));
    },
    attachTarget: (ref) => new SftpTarget(client, known(ref as SftpPreparedRef)),
    discardPartial: (ref) => discard(client, known(ref as SftpTargetRef)),
    finishCommit: (ref, part, request) => {
      const target = known(ref as SftpTargetRef);
      return doing('commit-target', fileNameAt(target.address, target.path), async () =>
        finishPublishing(await client.session(target.address), target, { mark: part, sync: request.sync }),
      );
    },
  };
}

async function locate(client: SftpClient, location: Location, sourceName: string): Promise<TargetSite> {
  const place = readPlace(location);
  const { address } = place;
  return doing('locate-target', location.name, async () => {
    const session = await client.session(address);
    const given = await absolute(session, place);
    const there = await ifThere(session.stat(given));
    const inFolder = there && kindOf(there) === 'folder';
    if (!inFolder && given.endsWith('/')) throw folderMissing(fileNameAt(address, given));
    const path = inFolder ? posix.join(given, nameInFolder(fileNameAt(address, given), sourceName)) : given;
    return site(client, session, address, path);
  });
}

async function site(client: SftpClient, session: SftpSession, address: SftpAddress, path: string): Promise<TargetSite> {
  const above = await ifThere(session.stat(posix.dirname(path)));
  if (!above || kindOf(above) !== 'folder') throw folderMissing(fileNameAt(address, posix.dirname(path)));
  const folder = await session.realpath(posix.dirname(path));
  const real = posix.join(folder, posix.basename(path));
  const name = fileNameAt(address, real);
  const there = await ifThere(session.lstat(real));
  const kind = there && kindOf(there);
  if (kind === 'folder' || kind === 'special') {
    throw new TransferError('E_TARGET_KIND', `${name} is ${kind === 'folder' ? 'a folder' : 'a special file'}`, {
      hint: 'Choose another target. Nothing was changed.',
    });
  }
  const part = await ifThere(session.lstat(partAt(real)));
  const free = await session.freeBytes(folder);
  const ref: SftpTargetRef = { scheme: 'sftp', address, secrets: { ...client.secrets }, path: real };
  return {
    ref,
    name,
    fileName: posix.basename(real),
    journalPath: remoteJournalPath(`${serverKey(address)}${real}`),
    publish: 'atomic',
    limits: CHUNK_LIMITS,
    writesPerWorker: TASKS_PER_WORKER,
    notes: await lacks(session, serverName(address), folder),
    ...(there && { existing: identityAt(address, real) }),
    ...(part && { partial: { identity: identityAt(address, partAt(real)), allocatedBytes: 0 } }),
    ...(free !== undefined && { freeBytes: free }),
  };
}

/** What the server cannot promise, as sentences. */
async function lacks(session: SftpSession, name: string, folder: string): Promise<readonly string[]> {
  const sentences: string[] = [];
  if (!session.has(EXTENSION.fsync)) {
    sentences.push(`${name} cannot be told to make data durable: what is finished there may not survive its power cut`);
  } else if (!(await withFolder(session, folder, async () => undefined))) {
    sentences.push(`${name} cannot make names durable: its power cut soon after the end may undo the last renaming`);
  }
  if (!session.has(EXTENSION.posixRename)) {
    sentences.push(
      `${name} cannot replace a file at once: with --overwrite there is a moment in which neither is there`,
    );
  }
  if (!session.has(EXTENSION.hardlink)) {
    sentences.push(`${name} may replace what somebody else puts there in the very moment of the end`);
  }
  return sentences;
}

/** The name may come from another server: it must not lead anywhere else. */
function nameInFolder(folder: string, name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw new TransferError('E_USAGE', `${folder} is a folder, and the source has no name that could be used inside it`, {
    hint: 'Give the target a file name. Nothing was changed.',
  });
}

function folderMissing(name: string): TransferError {
  return new TransferError('E_TARGET_FOLDER', `${name}: the folder of the target does not exist`, {
    hint: 'Make the folder there first. Nothing was changed.',
  });
}

async function discard(client: SftpClient, { address, path }: SftpTargetRef): Promise<void> {
  const part = partAt(path);
  await doing('open-target', fileNameAt(address, part), async () => {
    const session = await client.session(address);
    if (await ifThere(session.lstat(part))) await session.remove(part);
  });
}
