/** New, empty overlays: durable before a machine is said to have them. */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { lstat, open, rm } from 'node:fs/promises';
import { basename, dirname, relative } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf, TransferError } from '../../core/errors.js';
import { syncFolder } from '../../platform/publish.js';
import type { ImageFile } from '../vm.js';
import { BACKING_FORMATS } from './nodes.js';

/** 4 KiB for each of 32 parts of a cluster: a small write takes no more than that, where 64 KiB are usual. */
const OPTIONS = 'extended_l2=on,cluster_size=128k';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;
const MAKE_MS_MAX = 60_000;

const run = promisify(execFile);

export interface NewOverlay {
  readonly path: string;
  readonly sizeBytes: number;
  readonly below: ImageFile;
  /** An earlier call made it, and was cut short: it is made anew. */
  readonly again: boolean;
}

/** Nothing stands there, so that what does afterwards is ours. */
export async function isFree(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return false;
  } catch (thrown) {
    return errnoOf(thrown) === 'ENOENT';
  }
}

/** @throws TransferError E_TARGET_EXISTS, E_NO_SPACE, E_HYPERVISOR; nothing is left of it then */
export async function makeOverlay({ path, sizeBytes, below, again }: NewOverlay): Promise<void> {
  if (again) await rm(path, { force: true });
  await claim(path);
  try {
    // Named from its own folder, so that both can be moved together; never taken for a protocol by its colon.
    const named = `./${relative(dirname(path), below.path)}`;
    const format = BACKING_FORMATS[below.format];
    const image = ['-f', 'qcow2', '-o', OPTIONS, '-F', format, '-b', named];
    const args = ['create', '-q', '-u', ...image, '--', path, `${sizeBytes}`];
    await run('qemu-img', args, { timeout: MAKE_MS_MAX });
    await syncFile(path);
    syncFolder(dirname(path));
  } catch (thrown) {
    await rm(path, { force: true });
    throw notMade(path, thrown);
  }
}

/** Writes what an overlay holds into the one that it lies on, and keeps it; the same again changes nothing. */
export async function commitOverlay(path: string, below: string, signal: AbortSignal): Promise<void> {
  try {
    await run('qemu-img', ['commit', '-q', '-d', '-f', 'qcow2', '--', path], { signal });
  } catch (cause) {
    if (signal.aborted) throw new TransferError('E_STOPPED', `stopped; ${path} stays, and the disk reads as before`);
    const { stderr, message } = cause as Error & { readonly stderr?: string };
    throw new TransferError('E_HYPERVISOR', `${path} cannot be merged: ${(stderr || message).trim()}`, {
      hint: 'It stays, and the disk reads as before. The same merge can be started again.',
      cause,
    });
  }
  await syncFile(below);
}

/** What others wrote to it is durable then, too. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A file that nobody uses any more; it may have gone already. */
export async function removeImage(path: string): Promise<void> {
  await rm(path, { force: true });
  syncFolder(dirname(path));
}

/** The name is ours before another program opens the file. */
async function claim(path: string): Promise<void> {
  try {
    await (await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)).close();
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EEXIST') throw notMade(path, thrown);
    throw new TransferError('E_TARGET_EXISTS', `there is a file ${path} already, where an overlay was to be made`, {
      hint: 'Name another place for the overlay. Nothing was changed.',
      cause: thrown,
    });
  }
}

function notMade(path: string, thrown: unknown): TransferError {
  const { stderr, message, syscall } = thrown as NodeJS.ErrnoException & { readonly stderr?: string };
  const said = (stderr || message).trim();
  const full = errnoOf(thrown) === 'ENOSPC' || said.includes('No space left');
  const noFolder = errnoOf(thrown) === 'ENOENT' && syscall === 'open';
  return new TransferError(
    full ? 'E_NO_SPACE' : noFolder ? 'E_TARGET_FOLDER' : 'E_HYPERVISOR',
    `no overlay ${basename(path)} can be made in ${dirname(path)}: ${said}`,
    {
      hint: 'The machine goes on as before, and nothing is left of the overlay.',
      cause: thrown,
    },
  );
}
