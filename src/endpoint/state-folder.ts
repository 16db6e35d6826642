/** Journals of what has no folder of its own are kept here. */
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { errnoOf } from '../core/errors.js';

/** The user's own, unless BLOCKFERRY_STATE names another. */
export function stateFolder(): string {
  const { BLOCKFERRY_STATE, XDG_STATE_HOME } = process.env;
  return BLOCKFERRY_STATE || join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'blockferry');
}

/** A folder in it. */
export function makeStateFolder(name: string): string {
  const folder = join(stateFolder(), name);
  makeFolders(folder);
  return folder;
}

/** With all above it, for their user alone; Node's own way never comes back from some places, such as /proc. */
export function makeFolders(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return;
    const above = dirname(folder);
    if (errnoOf(thrown) !== 'ENOENT' || above === folder) throw thrown;
    makeFolders(above);
    mkdirSync(folder, { mode: 0o700 });
  }
}
