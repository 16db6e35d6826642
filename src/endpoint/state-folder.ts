/** Journals of what has no folder of its own are kept here. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The user's own, unless BLOCKFERRY_STATE names another. */
export function stateFolder(): string {
  const { BLOCKFERRY_STATE, XDG_STATE_HOME } = process.env;
  return BLOCKFERRY_STATE || join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'blockferry');
}
