/** The hidden names beside a target: `.<name>.blockferry-part` and `.<name>.blockferry-journal`. */
import { hiddenBeside } from '../platform/hidden-name.js';

export function partPath(target: string): string {
  return hiddenBeside(target, '.blockferry-part');
}

export function journalPath(target: string): string {
  return hiddenBeside(target, '.blockferry-journal');
}
