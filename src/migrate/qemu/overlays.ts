/** New, empty overlays: durable before a machine is said to have them. */
import { execFile } from 'node:child_process';
import { closeSync, constants, fsyncSync, openSync, rmSync } from 'node:fs';
import { basename, dirname, relative } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf, TransferError } from '../../core/errors.js';
import { syncFolder } from '../../platform/publish.js';
import type { ImageFile } from '../vm.js';
import { BACKING_FORMATS } from './nodes.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
const MAKE_MS_MAX = 60_000;

const run = promisify(execFile);

export interface NewOverlay {
  readonly path: string;
  readonly sizeBytes: number;
  readonly below: ImageFile;
  /** An earlier call made it, and was cut short: it is made anew. */
  readonly again: boolean;
}

/** @throws TransferError E_TARGET_EXISTS, E_NO_SPACE, E_HYPERVISOR; nothing is left of it then */
export async function makeOverlay({ path, sizeBytes, below, again }: NewOverlay): Promise<void> {
  if (again) rmSync(path, { force: true });
  claim(path);
  try {
    // Named from its own folder, so that both can be moved together; never taken for a protocol by its colon.
    const named = `./${relative(dirname(path), below.path)}`;
    const format = BACKING_FORMATS[below.format];
    const args = ['create', '-q', '-u', '-f', 'qcow2', '-F', format, '-b', named, '--', path, `${sizeBytes}`];
    await run('qemu-img', args, { timeout: MAKE_MS_MAX });
    const fd = openSync(path, O_RDWR | O_NOFOLLOW);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    syncFolder(dirname(path));
  } catch (thrown) {
    rmSync(path, { force: true });
    throw notMade(path, thrown);
  }
}

/** The name is ours before another program opens the file. */
function claim(path: string): void {
  try {
    closeSync(openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
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
