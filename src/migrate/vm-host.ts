/**
 * A host that has virtual machines: this one, or another over its daemon. The two sides of a migration are two of
 * these, or the same one twice.
 */
import type { SavedState } from './hypervisor.js';
import type { Ownership, VmDescription, VmStatus } from './vm.js';

export interface HostFacts {
  /** As people know it, and as a location of a peer begins: `peer://host:port`; absent: this host. */
  readonly peer?: string;
  readonly hypervisor: string;
  readonly machines: readonly string[];
}

export interface VmHost {
  facts(): Promise<HostFacts>;
  list(): Promise<readonly VmStatus[]>;
  /** @throws TransferError E_NO_VM */
  get(id: string): Promise<VmStatus>;
  /** Room, images, versions, ids: everything that would stop a migration later. Sentences; none: it can begin. */
  check(vm: VmDescription, folders: readonly string[], bytes: number): Promise<readonly string[]>;
  /**
   * Writes a machine down without starting it or taking memory. Repeatable, also with another description. Where the
   * machine is on this very host, and only its storage changes, it stands beside it. @throws E_VM_EXISTS for another
   * owner
   */
  placeholder(vm: VmDescription, migration: string): Promise<void>;
  removePlaceholder(id: string, migration: string): Promise<void>;
  /** Of a placeholder: it is as described now, and started, paused, from the state, after its digest was compared. */
  startPlaceholder(vm: VmDescription, migration: string, from?: SavedState): Promise<void>;
  /** It belongs here from now on, and runs if it was started. Not to be undone. */
  take(id: string, migration: string): Promise<void>;
  /**
   * It does not belong here any more: durable before anything else may start it elsewhere. @throws E_VM_STATE while its
   * guest runs
   */
  give(id: string, migration: string, to: string): Promise<void>;
  ownership(id: string): Promise<Ownership>;
}
