/** How a file's version is written down: two that are equal mean the same bytes, as far as their strength goes. */

export interface VersionFacts {
  readonly size: bigint | number;
  readonly mtimeNs: bigint | string;
  readonly inode: bigint | string;
}

/** weak: where inode numbers may change from mount to mount, so that they tell nothing. */
export function fileVersion({ size, mtimeNs, inode }: VersionFacts, strength: 'strong' | 'weak'): string {
  const value = `size ${size} mtime ${mtimeNs}`;
  return strength === 'weak' ? value : `${value} inode ${inode}`;
}
