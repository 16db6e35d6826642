/**
 * The hidden names beside a target: `.<name>.blockferry-part` and `.<name>.blockferry-journal`. Small files of a tree
 * have partial names of their own, which no other copy uses.
 */
import { crc32 } from 'node:zlib';
import { hiddenBeside, hiddenName } from '../platform/hidden-name.js';

export const PART_SUFFIX = '.blockferry-part';

/**
 * The partial name of a small file of a tree, which no other copy uses, nor another file of this one: two names may be
 * one where the case of letters does not count, and two sources may have files of one name.
 * @param from path of the source
 */
export function treePartName(name: string, from: string, tag: string): string {
  return hiddenName(name, `.${crc32(from).toString(16).padStart(8, '0')}.${tag}${PART_SUFFIX}`);
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
