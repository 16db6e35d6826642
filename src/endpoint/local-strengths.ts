/** How much a version tells on each of the file systems that a batch meets, asked once for each. */
import { isRemoteFileSystem } from '../platform/file-system.js';
import { inFolder, type Step } from '../platform/folder.js';

export class Strengths {
  readonly #known = new Map<bigint, 'strong' | 'weak'>();

  of(folder: Step): 'strong' | 'weak' {
    let strength = this.#known.get(folder.device);
    if (!strength) {
      strength = isRemoteFileSystem(inFolder(folder, '')) ? 'weak' : 'strong';
      this.#known.set(folder.device, strength);
    }
    return strength;
  }
}
