/**
 * What a hypervisor must be able to do for a migration: small, each call safe to repeat (what is done already is
 * answered as done), and each with its inverse. What a call makes of the machine is kept, durable, by whoever keeps its
 * description, before the call answers. QEMU is the first; docs/migration.md names the calls of Hyper-V.
 */
import type { VmDescription, VmRunState } from './vm.js';

export interface Overlay {
  readonly disk: string;
  /** Absolute; made by the call. */
  readonly path: string;
}

export interface SavedState {
  readonly path: string;
  readonly bytes: number;
  /** 64 hex digits, of what was received while it was saved. */
  readonly sha256: string;
}

/** As {@link FileDigest} has them, of what was received while it was saved. */
export interface SavedDigests {
  readonly bytes: number;
  readonly sha256: string;
  readonly root: string;
  readonly chunkBytes: number;
}

export type SavedMemory = SavedState & SavedDigests;

export interface MergeProgress {
  readonly disk: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface Hypervisor {
  /** By looking at the process and asking it. `lost`: its record says that it runs, and it does not. */
  state(vm: VmDescription): Promise<VmRunState>;
  /** Off to running; with a saved state to paused, on the very disks of the description. */
  start(vm: VmDescription, from?: SavedState): Promise<void>;
  /**
   * All disks at one instant: from then on the guest writes to the overlays, and what they lie on stays as it is. All
   * or nothing; overlay files of a failed call are removed. Answers the description as it is from then on.
   */
  snapshot(vm: VmDescription, overlays: readonly Overlay[]): Promise<VmDescription>;
  /** The inverse of a snapshot: merges the overlays into what they lie on, while the guest runs, and removes them. */
  merge(
    vm: VmDescription,
    disks: readonly { readonly disk: string; readonly into: string }[],
    progress: (progress: MergeProgress) => void,
    signal: AbortSignal,
  ): Promise<VmDescription>;
  /** Running to saved: the guest stands still, its memory is in the file, durable. */
  saveState(vm: VmDescription, path: string): Promise<SavedMemory>;
  /** The inverse: saved to running again, from its memory and not from the file. */
  discardState(vm: VmDescription): Promise<void>;
  /** Paused to running. */
  resume(vm: VmDescription): Promise<void>;
  pause(vm: VmDescription): Promise<void>;
  /** Ends its process, whatever state it is in; its files stay. A guest that runs is cut off, as by a power cut. */
  stop(vm: VmDescription): Promise<void>;
  /** Bytes of memory that the guest uses now, at most; and how fast it has changed its disks lately, if known. */
  memoryInUse(vm: VmDescription): Promise<number>;
}
