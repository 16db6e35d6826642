/** Journals of targets on other machines: they are always local files, and have no folder of their own here. */
import { join } from 'node:path';
import { sha256Hex } from '../core/digest.js';
import { makeStateFolder } from './state-folder.js';

/** @param identity what names the target beyond doubt, whoever asks: scheme, host, port and path, without secrets */
export function remoteJournalPath(identity: string): string {
  const name = sha256Hex(Buffer.from(identity)).slice(0, 32);
  return join(makeStateFolder('remote'), `${name}.blockferry-journal`);
}
