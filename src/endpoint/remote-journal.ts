/** Journals of targets on other machines: they are always local files, and have no folder of their own here. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { sha256Hex } from '../core/digest.js';
import { errnoOf } from '../core/errors.js';
import { writePrivately } from '../platform/private-file.js';
import { makeStateFolder } from './state-folder.js';

/** @param identity what names the target beyond doubt, whoever asks: scheme, host, port and path, without secrets */
export function remoteJournalPath(identity: string): string {
  const name = sha256Hex(Buffer.from(identity)).slice(0, 32);
  return join(makeStateFolder('remote'), `${name}.blockferry-journal`);
}

/**
 * What partial data on another machine has in its name, where that machine keeps no lock of it: our journal's lock is
 * nothing to another host or user, whose copy to the same target would write into the same file.
 */
export function remotePartTag(journal: string): string {
  return sha256Hex(Buffer.from(`${ownerOf(dirname(journal))} ${basename(journal)}`)).slice(0, 8);
}

/** By chance, once for a state folder: host names change, and the folder may move, with its journals. */
function ownerOf(folder: string): string {
  const path = join(folder, 'owner');
  const known = readOwner(path);
  if (known !== undefined) return known;
  const id = randomBytes(16).toString('hex');
  const made = `${path}.${id}`;
  writePrivately(made, id);
  try {
    // Of two that begin at the same moment the first one counts for both.
    linkSync(made, path);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EEXIST' || readOwner(path) === undefined) renameSync(made, path);
  } finally {
    rmSync(made, { force: true });
  }
  return readOwner(path) ?? id;
}

function readOwner(path: string): string | undefined {
  try {
    const id = readFileSync(path, 'latin1');
    return /^[0-9a-f]{32}$/.test(id) ? id : undefined;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
