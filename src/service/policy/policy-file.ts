/** The policy as a file that people edit: read at the start, read again when it changes, replaced as a whole. */
import type { Clock } from '../../core/clock.js';
import type { TransferError } from '../../core/errors.js';
import type { Policy } from '../policy.js';

export interface PolicyFileOptions {
  /** Where `blockferry.toml` lies; it is made there from the default when it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Told once for each content that is wrong, while the policy before stays. */
  readonly onError?: (error: TransferError) => void;
}

export class PolicyFile {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws TransferError E_POLICY when the file that is there is wrong: nothing runs by rules that nobody wrote */
  static open(_options: PolicyFileOptions): Promise<PolicyFile> {
    throw new Error('comes next');
  }

  get policy(): Policy {
    throw new Error('comes next');
  }

  /** What the policy was read from. */
  get text(): string {
    throw new Error('comes next');
  }

  /** Checks it, writes it durably, makes it count. @throws TransferError E_POLICY; then the old one stays */
  replace(_text: string): Promise<Policy> {
    throw new Error('comes next');
  }

  /** Calls back after each change, until the function that it returns is called. */
  onChange(_changed: (policy: Policy) => void): () => void {
    throw new Error('comes next');
  }

  close(): void {
    throw new Error('comes next');
  }
}
