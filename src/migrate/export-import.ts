/**
 * Machines in a folder: a description and, unless it was asked for alone, all that it needs. An export has its name
 * whole or not at all, and each file in it is known by its length and SHA-256; an import uses the files where they are
 * or copies them, and nothing of an export is believed before it was compared.
 */
import type { FileEvent, NoteEvent } from '../core/events.js';
import type { LocalHost, LocalHypervisor } from './local-host.js';
import type { TargetPaths } from './migration-plan.js';
import type { ImageFile } from './vm.js';
import type { VmRegistry } from './vm-registry.js';

type WithoutBase<T> = Omit<T, 'schema' | 'at'>;
export type PortableEvent = WithoutBase<FileEvent> | WithoutBase<NoteEvent>;

export interface KnownFile {
  readonly bytes: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

export interface FileCopy {
  readonly source: string;
  /** Must not exist. It is whole and durable under its name when the copy answers, or nothing is left of it. */
  readonly target: string;
  /** Nothing may choose by its content what a raw disk is taken for. */
  readonly format?: ImageFile['format'];
  /** Another one is E_INTEGRITY, and the target gets no name. */
  readonly sha256?: string;
  /** One disk, of the source and all that it builds on, which lies in these folders. */
  readonly flattened?: readonly string[];
}

/** What is done to files, by the engine. */
export interface PortableFiles {
  copy(copy: FileCopy, bytesDone: (bytes: number) => void, signal: AbortSignal): Promise<void>;
  digest(path: string, signal: AbortSignal): Promise<KnownFile>;
  /** Makes an image name its parent; durable. */
  repoint(image: string, parent: string): Promise<void>;
}

export interface PortableParts {
  readonly registry: VmRegistry;
  readonly hypervisor: LocalHypervisor;
  readonly host: LocalHost;
  readonly files: PortableFiles;
  readonly wallMs: () => number;
  readonly newId: () => string;
  readonly tell: (event: PortableEvent) => void;
}

export interface ExportRequest {
  readonly vm: string;
  /** The folder that is made; absolute. */
  readonly folder: string;
  /**
   * `data`: all of it, as it stands now. `configuration`: the description alone. A number: the snapshot, from 1, the
   * images of each disk up to the one that stands still since it.
   */
  readonly what: 'data' | 'configuration' | number;
  /** One image for each disk. Default false: its chain. */
  readonly flatten?: boolean;
}

export interface ImportRequest {
  /** An export; absolute. */
  readonly folder: string;
  /**
   * Absent: the files are used where they are. Else they are copied there, and the export stays good for another
   * import. Of a configuration alone: where the images are.
   */
  readonly to?: TargetPaths;
  /** `same`: that of the export. */
  readonly id?: 'same' | 'new';
  readonly name?: string;
}
