/** What each cluster of a file is used for: two bits each, so that two things that stand in one cluster are found. */
import { MiB } from '../../core/units.js';

const BYTES_MAX = 32 * MiB;
/** At 64 KiB a cluster this is a file of 8 TiB. */
export const CLUSTERS_MAX = BYTES_MAX * 4;

const WHOLE = 1;
const SHARED = 2;

export class ClusterUse {
  readonly clusters: number;
  readonly #bits: Uint8Array;

  /** @param clusters at most {@link CLUSTERS_MAX} */
  constructor(clusters: number) {
    this.clusters = clusters;
    this.#bits = new Uint8Array(Math.ceil(clusters / 4));
  }

  /**
   * Answers whether the cluster is free for this use. Compressed clusters share theirs with one another, and with
   * nothing else. Clusters past the end are nobody's business here.
   */
  take(cluster: number, compressed = false): boolean {
    if (cluster >= this.clusters) return true;
    const use = this.#use(cluster);
    this.#bits[Math.floor(cluster / 4)] = this.#byte(cluster) | ((compressed ? SHARED : WHOLE) << ((cluster % 4) * 2));
    return use === 0 || (use === SHARED && compressed);
  }

  isUsed(cluster: number): boolean {
    return cluster < this.clusters && this.#use(cluster) !== 0;
  }

  #byte(cluster: number): number {
    return this.#bits[Math.floor(cluster / 4)] ?? 0;
  }

  #use(cluster: number): number {
    return (this.#byte(cluster) >> ((cluster % 4) * 2)) & 3;
  }
}
