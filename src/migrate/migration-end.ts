/**
 * One end of a migration: a host, what runs its machines, and its files. The two ends are two of these, or the same one
 * twice; an end at another host has the same calls over its daemon.
 */
import type { Hypervisor } from './hypervisor.js';
import type { VmHost } from './vm-host.js';

export interface MigrationEnd {
  /** As people know it: `local`, or the host of a peer. */
  readonly name: string;
  readonly host: VmHost;
  readonly hypervisor: Hypervisor;
  readonly files: EndFiles;
}

export interface FileDigest {
  readonly bytes: number;
  /** 64 hex digits, of the whole file; absent unless it was asked for. */
  readonly sha256?: string;
  /** SHA-256 over the SHA-256 digests of its chunks, as a job with that algorithm tells it. */
  readonly root: string;
  readonly chunkBytes: number;
}

/** Each call is safe to repeat: what is done already is answered as done. */
export interface EndFiles {
  /** The location that a job of the service knows that path by: the path itself, or `peer://host:port/path`. */
  location(path: string): string;
  /** Bytes, and what tells one version from another; undefined: there is no such file. */
  stat(path: string): Promise<{ readonly bytes: number; readonly version: string } | undefined>;
  /** By reading it there. @throws TransferError E_STOPPED */
  digest(path: string, whole: boolean, signal: AbortSignal): Promise<FileDigest>;
  /** Makes an image name its parent, by the path there; durable. */
  repoint(image: string, parent: string): Promise<void>;
  /** With all above it. */
  makeFolder(path: string): Promise<void>;
  /** Durable; a missing one is no error. */
  remove(path: string): Promise<void>;
}
