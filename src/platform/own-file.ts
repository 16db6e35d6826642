/** Tells a file that this user's Blockferry made from one that was planted where it would be. */
import type { BigIntStats } from 'node:fs';

/**
 * What is wrong with an opened part or journal, as the end of a sentence; undefined when it can be ours. `anyOwner`: it
 * is known by something better than its owner.
 */
export function whyNotOurs(stat: BigIntStats, anyOwner = false): string | undefined {
  const uid = process.getuid?.();
  if (!stat.isFile()) return 'is not a regular file';
  if (!anyOwner && uid !== undefined && stat.uid !== BigInt(uid))
    return `belongs to uid ${stat.uid}, not to uid ${uid}`;
  return stat.nlink > 1n ? 'has other names (hard links)' : undefined;
}
