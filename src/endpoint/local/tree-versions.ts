/** What tells that a file of a tree changed, at either end, by what its file system can tell. */
import type { BigIntStats } from 'node:fs';
import { isRemoteFileSystem } from '../../platform/file-system.js';
import { inFolder, type Step } from '../../platform/folder.js';
import { versionValue } from './source.js';

export class TreeVersions {
  readonly #strengths = new Map<bigint, 'strong' | 'weak'>();

  /** With the time of the last change of any kind behind, which nobody can put back. */
  source(stat: BigIntStats, folder: Step): string {
    return `${this.target(stat, folder)} ctime ${stat.ctimeNs}`;
  }

  target(stat: BigIntStats, folder: Step): string {
    return versionValue(stat, this.strength(folder));
  }

  strength(folder: Step): 'strong' | 'weak' {
    let strength = this.#strengths.get(folder.device);
    if (!strength) {
      strength = isRemoteFileSystem(inFolder(folder, '')) ? 'weak' : 'strong';
      this.#strengths.set(folder.device, strength);
    }
    return strength;
  }
}
