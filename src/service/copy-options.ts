/** How the files of a job are copied: what `copy()` may be asked for, as plain JSON that a store keeps. */
import type { Algorithm } from '../core/digest.js';
import type { Yield } from '../yield/control-law.js';

export interface CopyOptions {
  readonly algorithm?: Algorithm;
  /** Bytes. */
  readonly chunkBytes?: number;
  readonly lanes?: number;
  readonly readBack?: boolean;
  readonly preserve?: boolean;
  readonly reflink?: 'auto' | 'always' | 'never';
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  /** False: skip the flushes. */
  readonly sync?: boolean;
  /** False: a damaged disk image is copied as it is. */
  readonly check?: boolean;
  /** How it makes way for others at its storage. Absent: as its class does. */
  readonly yield?: Yield;
  /** Instead: it makes way so that requests of others take no longer, in milliseconds. */
  readonly protectLatencyMs?: number;
}
