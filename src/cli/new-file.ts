/** Files that a command writes beside its result: always new ones, known to be possible before the work begins. */
import { constants } from 'node:fs';
import { access, lstat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';

/** @throws TransferError E_USAGE, naming the option */
export async function assertNewFile(option: string, file: string): Promise<void> {
  const there = await lstat(file).catch((thrown: unknown) => {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw refused(option, file, thrown);
  });
  if (there) throw refused(option, file, Object.assign(new Error('it exists'), { code: 'EEXIST' }));
  await access(dirname(resolve(file)), constants.W_OK).catch((thrown: unknown) => {
    throw refused(option, file, thrown);
  });
}

export async function writeNewFile(option: string, file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: 'wx' }).catch((thrown: unknown) => {
    throw refused(option, file, thrown);
  });
}

function refused(option: string, file: string, thrown: unknown): TransferError {
  const exists = errnoOf(thrown) === 'EEXIST';
  const message = exists ? 'exists, and is left as it is' : `cannot be written (${errnoOf(thrown) ?? String(thrown)})`;
  return new TransferError('E_USAGE', `${option}: ${showPath(file)} ${message}`, {
    hint: 'Choose the name of a new file in a folder that you may write to.',
    cause: thrown,
  });
}
