/** QEMU as a hypervisor: see hypervisor.ts for what a caller may rely on. */
import type { Clock } from '../../core/clock.js';
import type { ChainDescription } from '../../disk/describe.js';
import type { VmRegistry } from '../vm-registry.js';

export interface QemuParts {
  readonly registry: VmRegistry;
  /** What an image and those below it are. */
  readonly describeDisk: (path: string) => Promise<ChainDescription>;
  /** Merges an image, which nobody uses, into one below it. */
  readonly mergeOffline: (merge: OfflineMerge) => Promise<void>;
  readonly clock: Clock;
}

export interface OfflineMerge {
  readonly child: string;
  readonly into: string;
  readonly progress: (bytesDone: number, bytesTotal: number) => void;
  readonly signal: AbortSignal;
}
