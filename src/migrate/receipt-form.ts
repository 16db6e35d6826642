/** What stands in the receipt of a migration. */
import type { Step } from './steps.js';

export interface ReceiptStep {
  readonly step: Step;
  readonly round?: number;
  /** Milliseconds since 1970; the step was begun for the last time, and was done. */
  readonly startedAt: number;
  readonly doneAt: number;
}

export interface ReceiptFile {
  /** Absent: the saved state, which is of no disk. */
  readonly disk?: string;
  readonly kind: 'base' | 'delta' | 'state' | 'boot';
  readonly source: string;
  readonly target: string;
  readonly bytes: number;
  /** 64 hex digits, of the whole file. */
  readonly sha256: string;
  /** Over the SHA-256 digests of its chunks. */
  readonly root: string;
  readonly chunkBytes: number;
}

export interface ReceiptContent {
  readonly schema: 1;
  readonly kind: 'blockferry-migration';
  readonly migration: string;
  readonly vm: { readonly id: string; readonly name: string };
  readonly from: string;
  readonly to: string;
  readonly steps: readonly ReceiptStep[];
  readonly files: readonly ReceiptFile[];
  /** Milliseconds; absent: the machine was off. */
  readonly blackout?: { readonly predictedMs: number; readonly measuredMs: number };
  /** It started at the target without its memory, a power cut to its guest: why. */
  readonly withoutMemory?: string;
  readonly keepSource: boolean;
}

export interface Receipt extends ReceiptContent {
  readonly signature: {
    readonly algorithm: 'ed25519';
    /** SPKI, in base64. */
    readonly publicKey: string;
    /** SHA-256 of the key, in hex: what is compared by eye. */
    readonly fingerprint: string;
    /** Over the canonical bytes of all but itself; base64. */
    readonly value: string;
  };
}
