/**
 * The memory of a guest on its way into a file and out of it. QEMU neither tells whether all of it arrived nor notices
 * what was lost or changed since: so it comes to us, who count, hash and make it durable, and goes back only after both
 * were compared.
 */
import { createHash } from 'node:crypto';
import { constants, rmSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import { syncFolder } from '../../platform/publish.js';
import type { SavedDigests, SavedMemory, SavedState } from '../hypervisor.js';
import { SavedHasher } from '../saved-digests.js';
import { STATE_SOCKET, withShortPath } from './sockets.js';

const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
const READ_BYTES = 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;
const SYNC_EVERY_BYTES = 16 * 1024 * 1024;

/** The name it has until it is whole. */
const unfinished = (path: string): string => `${path}.saving`;

/** Undefined: there is nothing of that name. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw notSaved(path, thrown);
  }
}

/** @param ours an earlier save that was cut short has made what is there. @throws TransferError E_TARGET_EXISTS */
export async function assertFree(path: string, ours: boolean): Promise<void> {
  if (ours || (await statOf(path)) === undefined) return;
  throw new TransferError('E_TARGET_EXISTS', `there is a file ${path} already, where a state was to be saved`, {
    hint: 'Name another place for the state. The guest goes on.',
  });
}

/** Of a save that was cut short; where it cannot be removed, nobody is kept waiting for that. */
export async function dropUnfinished(path: string): Promise<void> {
  await rm(unfinished(path), { force: true }).catch(() => undefined);
}

/** Of a save that came to nothing, or is not needed any more. */
export async function dropState(path: string): Promise<void> {
  for (const name of [unfinished(path), path]) await rm(name, { force: true });
}

/**
 * Receives a state at a socket in the folder of the machine, and replaces the file as a whole.
 * @param send has QEMU send it to that socket
 */
export async function receiveState(
  path: string,
  folder: string,
  ours: boolean,
  send: () => Promise<void>,
): Promise<SavedMemory> {
  let file: FileHandle | undefined;
  try {
    const opened = await open(unfinished(path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    file = opened;
    const received = await withShortPath(folder, (short) => receiveAt(join(short, STATE_SOCKET), opened, send));
    await opened.sync();
    await assertFree(path, ours);
    await rename(unfinished(path), path);
    syncFolder(dirname(path));
    return { path, ...received };
  } catch (thrown) {
    throw notSaved(path, thrown);
  } finally {
    await file?.close();
  }
}

async function receiveAt(socketPath: string, file: FileHandle, send: () => Promise<void>): Promise<SavedDigests> {
  rmSync(socketPath, { force: true });
  const server = createServer();
  const received = new Promise<SavedDigests>((resolve, reject) => {
    server.once('connection', (socket) => void receive(socket, file).then(resolve, reject));
    server.once('error', reject);
  });
  const listening = new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    await Promise.race([listening, received]);
    const sent = send();
    // Where both fail, what kept it from being written says more than that the sending ended.
    sent.catch(() => undefined);
    await Promise.race([sent, received]);
    await sent;
    return await received;
  } finally {
    received.catch(() => undefined);
    server.close();
    rmSync(socketPath, { force: true });
  }
}

/** Hashes what comes while what came is written, and has the storage begin early: the guest stands still meanwhile. */
async function receive(socket: Socket, file: FileHandle): Promise<SavedDigests> {
  const hash = new SavedHasher();
  let syncedBytes = 0;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let writing = Promise.resolve();
  const write = async (): Promise<void> => {
    const blocks = waiting;
    [waiting, waitingBytes] = [[], 0];
    await writing;
    const sync = hash.bytes - syncedBytes >= SYNC_EVERY_BYTES;
    writing = writeAll(file, Buffer.concat(blocks), sync);
    if (sync) syncedBytes = hash.bytes;
    // Whether it fails is heard by whoever waits for it next.
    writing.catch(() => undefined);
  };
  for await (const block of socket as AsyncIterable<Buffer>) {
    hash.update(block);
    waiting.push(block);
    waitingBytes += block.length;
    if (waitingBytes >= WRITE_BYTES) await write();
  }
  await write();
  await writing;
  return hash.digests();
}

async function writeAll(file: FileHandle, block: Buffer, sync: boolean): Promise<void> {
  for (let done = 0; done < block.length; ) {
    done += (await file.write(block, done, block.length - done)).bytesWritten;
  }
  if (sync) await file.datasync();
}

/** For a QEMU that inherits its descriptor, from its first byte. */
export async function openState(path: string): Promise<FileHandle> {
  try {
    return await open(path, O_RDONLY | O_NOFOLLOW);
  } catch (cause) {
    throw new TransferError('E_SOURCE_MISSING', `the saved state ${path} cannot be opened`, {
      hint: 'The machine was not started: its memory is in that file, and nowhere else.',
      cause,
    });
  }
}

/** @throws TransferError E_INTEGRITY unless it is, to the byte, what was saved */
export async function compareState(file: FileHandle, saved: SavedState): Promise<void> {
  const { size } = await file.stat();
  if (size !== saved.bytes) throw otherState(saved, `it has ${size} bytes, and ${saved.bytes} were saved`);
  const hash = createHash('sha256');
  // At its place, so that the descriptor, which QEMU reads from, still stands at the beginning.
  const read = (block: Buffer, at: number) => file.read(block, 0, READ_BYTES, at);
  let [now, next] = [Buffer.allocUnsafe(READ_BYTES), Buffer.allocUnsafe(READ_BYTES)];
  let reading = read(now, 0);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await reading;
    if (bytesRead === 0) break;
    at += bytesRead;
    // The next is read while this one is hashed: a guest stands still meanwhile.
    reading = read(next, at);
    hash.update(now.subarray(0, bytesRead));
    [now, next] = [next, now];
  }
  await reading;
  if (hash.digest('hex') !== saved.sha256) throw otherState(saved, 'its SHA-256 is another one');
}

function otherState({ path }: SavedState, why: string): TransferError {
  return new TransferError('E_INTEGRITY', `${path} is not the state that was saved: ${why}`, {
    hint: 'The machine was not started from it. Copy the state again, or discard it where the machine was saved.',
  });
}

function notSaved(path: string, thrown: unknown): TransferError {
  if (thrown instanceof TransferError) return thrown;
  const errno = errnoOf(thrown);
  if (errno === undefined) return TransferError.from(thrown);
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'E_NO_SPACE' : 'E_TARGET_WRITE';
  return new TransferError(code, `the state cannot be saved in ${path}`, {
    hint: 'The guest goes on from its memory. Make room there, or name another place.',
    cause: thrown,
  });
}
