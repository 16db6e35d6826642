/** Where the service listens: a socket that is this user's alone, and an address that needs a token. */
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import type { Server } from 'node:http';
import { isIP, type ListenOptions } from 'node:net';
import { dirname, join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import { makeFolders } from '../../endpoint/state-folder.js';
import { lockDescriptor } from '../../platform/lock.js';

export interface HeldSocket {
  /** Removes it, as long as it is still ours. To be called when nothing listens any more. */
  release(): void;
}

/** sockaddr_un has 108 bytes, with a zero at the end. */
const SOCKET_PATH_BYTES_MAX = 107;
const OTHERS_MAY_WRITE = 0o022;

/**
 * The lock beside it says whether its daemon lives, so a socket that is left over is replaced. It is made where nobody
 * else comes, and moved to its name with its rights: there is no moment in which others could connect.
 */
export async function listenOnSocket(server: Server, path: string): Promise<HeldSocket> {
  try {
    makeFolders(dirname(path));
    assertOwnFolder(dirname(path));
    const lock = await lockSocket(path);
    try {
      await listenUnder(server, path);
    } catch (thrown) {
      lock.release();
      throw thrown;
    }
    const { ino } = lstatSync(path);
    const release = (): void => {
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path);
      lock.release();
    };
    return { release };
  } catch (thrown) {
    throw thrown instanceof TransferError ? thrown : cannotListen(path, errnoOf(thrown) ?? String(thrown), thrown);
  }
}

async function listenUnder(server: Server, path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found && !found.isSocket()) throw cannotListen(path, 'something else has that name');
  const hidden = `${path}.new`;
  const made = join(hidden, 's');
  if (Buffer.byteLength(made) > SOCKET_PATH_BYTES_MAX) throw cannotListen(path, 'the path is too long for a socket');
  // What a start that was killed has left; the lock says that it is nobody's.
  rmSync(hidden, { recursive: true, force: true });
  mkdirSync(hidden, { mode: 0o700 });
  try {
    await listen(server, { path: made });
    chmodSync(made, 0o600);
    renameSync(made, path);
  } finally {
    rmSync(hidden, { recursive: true, force: true });
  }
}

/** Answers the port. @throws TransferError E_USAGE */
export async function listenOnAddress(server: Server, host: string, port: number): Promise<number> {
  const shown = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
  try {
    await listen(server, { host, port });
  } catch (cause) {
    throw new TransferError('E_USAGE', `cannot listen on ${shown}: ${errnoOf(cause) ?? String(cause)}`, {
      hint: 'Name a free address of this machine with --http.',
      cause,
    });
  }
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}

/** Without TLS a token would be read by whoever listens on the way. @throws TransferError E_USAGE */
export function assertLoopback(host: string): void {
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return;
  throw new TransferError('E_USAGE', `${host} can be reached from other machines, so it needs TLS`, {
    hint: 'Give --cert and --key, or listen on 127.0.0.1.',
  });
}

function listen(server: Server, at: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Others who can write there could put a socket of theirs into its place. */
function assertOwnFolder(folder: string): void {
  const { mode, uid } = statSync(folder);
  const ours = uid === (process.geteuid?.() ?? uid) || uid === 0;
  if (ours && (mode & OTHERS_MAY_WRITE) === 0) return;
  throw new TransferError('E_USAGE', `${folder}: others may write there, so the service's socket is not safe in it`, {
    hint: `Say chmod 700 ${folder}, or name another folder with --state.`,
  });
}

async function lockSocket(path: string): Promise<HeldSocket> {
  const fd = openSync(`${path}.lock`, 'a+', 0o600);
  const lock = await lockDescriptor(fd).catch((thrown) => {
    closeSync(fd);
    throw thrown;
  });
  if (lock === 'busy') {
    const pid = readFileSync(fd, 'latin1').trim();
    closeSync(fd);
    throw new TransferError('E_LOCKED', `a service runs here already: process ${pid} listens on ${path}`, {
      hint: 'Use that one, or give this one a folder of its own with --state.',
    });
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  const release = (): void => {
    lock.release();
    closeSync(fd);
  };
  return { release };
}

function cannotListen(path: string, why: string, cause?: unknown): TransferError {
  return new TransferError('E_USAGE', `${path}: the service cannot listen there: ${why}`, {
    hint: 'Name another folder with --state.',
    cause,
  });
}
