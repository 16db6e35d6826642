/**
 * The hidden names beside a target: `.<name>.blockferry-part` and `.<name>.blockferry-journal`. Small files of a tree
 * have partial names of their own, which no other copy uses.
 */
import { hiddenBeside, hiddenName } from '../platform/hidden-name.js';

const PART_SUFFIX = '.blockferry-part';

/** The partial name of a small file of a tree, which no other copy uses. */
export function treePartName(name: string, tag: string): string {
  return hiddenName(name, `.${tag}${PART_SUFFIX}`);
}

export function isTreePart(name: string, tag: string): boolean {
  return name.startsWith('.') && name.endsWith(`.${tag}${PART_SUFFIX}`);
}

export function partPath(target: string): string {
  return hiddenBeside(target, PART_SUFFIX);
}

export function journalPath(target: string): string {
  return hiddenBeside(target, '.blockferry-journal');
}
