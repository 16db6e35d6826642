/**
 * A virtual machine as Blockferry knows it: QEMU has no registry, so this is what is kept of one. Everything that the
 * guest can see is fixed here, since a saved state only fits the very same machine.
 */

export type DiskFormat = 'raw' | 'vhd-fixed' | 'vhd-dynamic' | 'vhdx' | 'qcow2';

export interface ImageFile {
  /** Absolute. */
  readonly path: string;
  readonly format: DiskFormat;
}

export interface VmDisk {
  /** Such as `d0`; unique in the machine, letters and digits. */
  readonly id: string;
  /** Bytes that the guest sees. */
  readonly sizeBytes: number;
  /** The images that it is made of: the base first, what the guest writes to last. */
  readonly chain: readonly ImageFile[];
  /** Of its device on the PCI bus, such as `0x4`. */
  readonly address: string;
}

export interface VmNetwork {
  readonly id: string;
  readonly mac: string;
  readonly address: string;
  /** `user`: behind the host, without a set-up of its own. */
  readonly kind: 'user' | 'none';
}

export interface VmDescription {
  readonly schema: 1;
  /** A UUID. */
  readonly id: string;
  readonly name: string;
  /** With its version, such as `pc-i440fx-7.2`. */
  readonly machine: string;
  readonly accelerator: 'tcg' | 'kvm';
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly disks: readonly VmDisk[];
  readonly networks: readonly VmNetwork[];
  /** A kernel that is started without firmware; absolute paths. */
  readonly kernel?: { readonly image: string; readonly initrd?: string; readonly append: string };
  /** Absolute path of a file that the serial console is appended to. */
  readonly consoleLog?: string;
}

/** Who may start the machine. It is written down on every host that knows it, so that it never runs twice. */
export type Ownership =
  /** `migration`: which one brought it, if one did. */
  | { readonly state: 'here'; readonly migration?: string }
  /** Made for a migration to here; nothing may start it but that migration. */
  | { readonly state: 'placeholder'; readonly migration: string }
  /** Another host, or another place on this one, has it now. */
  | { readonly state: 'gone'; readonly migration: string; readonly to: string };

export type VmRunState = 'off' | 'running' | 'paused' | 'saved' | 'io-error' | 'lost';

export interface VmStatus {
  readonly vm: VmDescription;
  readonly ownership: Ownership;
  readonly state: VmRunState;
  /** Of its process, while there is one. */
  readonly pid?: number;
}
