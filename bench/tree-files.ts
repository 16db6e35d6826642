/**
 * Trees of many small files: made, and compared name by name, mode by mode and byte by byte, without Blockferry. The
 * folders hold a hundred files each; some names are not ASCII, and the modes differ.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, constants, lstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TransferError } from '../src/core/errors.js';
import { KiB } from '../src/core/units.js';

export const TREE_FILE_BYTES = 4 * KiB;
const FILES_PER_FOLDER = 100;
const FOLDERS_PER_FOLDER = 100;
const MODES = [0o644, 0o600, 0o755];

/** Makes the new folder `root` with `files` files of random bytes in it. */
export async function makeTree(root: string, files: number, signal: AbortSignal): Promise<void> {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(TREE_FILE_BYTES);
  for (let folder = 0; folder * FILES_PER_FOLDER < files; folder++) {
    signal.throwIfAborted();
    const path = join(root, `part ${Math.floor(folder / FOLDERS_PER_FOLDER)}`, `folder-${folder}`);
    await mkdir(path, { recursive: true });
    const count = Math.min(FILES_PER_FOLDER, files - folder * FILES_PER_FOLDER);
    for (let at = 0; at < count; at++) {
      const name = at % 10 === 0 ? `größe ${at}.txt` : `file-${at}.bin`;
      writeNew(join(path, name), cipher.update(zeros), MODES[at % MODES.length] as number);
    }
  }
}

function writeNew(path: string, bytes: Uint8Array, mode: number): void {
  const file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, mode);
  try {
    writeSync(file, bytes);
  } finally {
    closeSync(file);
  }
}

/** @throws TransferError E_INTEGRITY unless both folders hold the same names, kinds, modes and bytes, and no more */
export async function assertSameTree(source: string, target: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const [names, copied] = [await sortedNames(source), await sortedNames(target)];
  const odd = names.find((name) => !copied.includes(name)) ?? copied.find((name) => !names.includes(name));
  if (odd !== undefined) throw differ(join(source, odd), join(target, odd), 'one of them is not there');
  for (const name of names) {
    const [one, other] = [join(source, name), join(target, name)];
    const [mine, theirs] = [lstatSync(one), lstatSync(other)];
    if (mine.mode !== theirs.mode) {
      throw differ(one, other, `its kind and mode are ${theirs.mode.toString(8)}, expected ${mine.mode.toString(8)}`);
    }
    if (mine.isDirectory()) await assertSameTree(one, other, signal);
    else if (!readFileSync(one).equals(readFileSync(other))) throw differ(one, other, 'its bytes differ');
  }
}

async function sortedNames(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).sort();
}

function differ(one: string, other: string, what: string): TransferError {
  return new TransferError('E_INTEGRITY', `${other} is no copy of ${one}: ${what}`);
}
