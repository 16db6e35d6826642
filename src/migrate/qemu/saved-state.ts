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
import type { SavedState } from '../hypervisor.js';
import { STATE_SOCKET, withShortPath } from './sockets.js';

const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
const READ_BYTES = 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;
const SYNC_EVERY_BYTES = 16 * 1024 * 1024;

type Received = Omit<SavedState, 'path'>;

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
): Promise<SavedState> {
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

async function receiveAt(socketPath: string, file: FileHandle, send: () => Promise<void>): Promise<Received> {
  rmSync(socketPath, { force: true });
  const server = createServer();
  const received = new Promise<Received>((resolve, reject) => {
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
async function receive(socket: Socket, file: FileHandle): Promise<Received> {
  const hash = createHash('sha256');
  let bytes = 0;
  let syncedBytes = 0;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let writing = Promise.resolve();
  const write = async (): Promise<void> => {
    const blocks = waiting;
    [waiting, waitingBytes] = [[], 0];
    await writing;
    writing = writeAll(file, Buffer.concat(blocks), bytes - syncedBytes >= SYNC_EVERY_BYTES);
    if (bytes - syncedBytes >= SYNC_EVERY_BYTES) syncedBytes = bytes;
    // Whether it fails is heard by whoever waits for it next.
    writing.catch(() => undefined);
  };
  for await (const block of socket as AsyncIterable<Buffer>) {
    hash.update(block);
    bytes += block.length;
    waiting.push(block);
    waitingBytes += block.length;
    if (waitingBytes >= WRITE_BYTES) await write();
  }
  await write();
  await writing;
  return { bytes, sha256: hash.digest('hex') };
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
  const block = Buffer.allocUnsafe(READ_BYTES);
  for (let at = 0; at < size; ) {
    // At its place, so that the descriptor, which QEMU reads from, still stands at the beginning.
    const { bytesRead } = await file.read(block, 0, READ_BYTES, at);
    if (bytesRead === 0) break;
    hash.update(block.subarray(0, bytesRead));
    at += bytesRead;
  }
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
