/** The policy as a file that people edit: read at the start, read again when it changes, replaced as a whole. */
import { type FSWatcher, readFileSync, realpathSync, statSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../core/clock.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import { writePrivately } from '../../platform/private-file.js';
import { defaultPolicyText } from './default-policy.js';
import { parsePolicy } from './parse.js';
import type { Policy } from './policy.js';

export interface PolicyFileOptions {
  /** Where `blockferry.toml` lies; it is made there from the default when it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Told once for each content that is wrong, while the policy before stays. */
  readonly onError?: (error: TransferError) => void;
}

const NAME = 'blockferry.toml';
/** Larger is no policy, but a mistake. */
const SIZE_MAX = MiB;
/** Not every mount tells of changes; this is how soon one is seen there. */
const LOOK_MS = 2000;
/** Editors write in several steps; what is read between two of them would be told as an error. */
const SETTLE_MS = 100;

export class PolicyFile {
  readonly path: string;
  readonly #options: PolicyFileOptions;
  readonly #listeners = new Set<(policy: Policy) => void>();
  readonly #closed = new AbortController();
  #watcher: FSWatcher | undefined;
  /** Wakes the look that waits for its time. */
  #hurry = new AbortController();
  #policy: Policy;
  #text: string;
  /** What the last look saw, right or wrong. */
  #seen: string;

  private constructor(options: PolicyFileOptions, path: string, text: string) {
    this.#options = options;
    this.path = path;
    this.#policy = parsePolicy(text, path);
    this.#text = text;
    this.#seen = text;
  }

  /** @throws TransferError E_POLICY when the file that is there is wrong: nothing runs by rules that nobody wrote */
  static async open(options: PolicyFileOptions): Promise<PolicyFile> {
    const path = join(options.folder, NAME);
    const text = readPolicy(path) ?? defaultPolicyText();
    const file = new PolicyFile(options, path, text);
    if (readPolicy(path) === undefined) writePolicy(path, text);
    file.#watch();
    return file;
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** What the policy was read from. */
  get text(): string {
    return this.#text;
  }

  /** Checks it, writes it durably, makes it count. @throws TransferError E_POLICY; then the old one stays */
  async replace(text: string): Promise<Policy> {
    const policy = parsePolicy(text);
    writePolicy(this.path, text);
    this.#accept(text, policy);
    return policy;
  }

  /** Calls back after each change, until the function that it returns is called. */
  onChange(changed: (policy: Policy) => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  close(): void {
    this.#closed.abort();
    this.#hurry.abort();
    this.#watcher?.close();
  }

  #watch(): void {
    try {
      // The folder, since editors put a new file in the place of the old one.
      this.#watcher = watch(dirname(this.path), { persistent: false }, (_, name) => {
        if (name === null || name === basename(this.path)) this.#hurry.abort();
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch (thrown) {
      // Where nothing tells of changes, the looks by the clock are what is left.
      if (errnoOf(thrown) === undefined) throw thrown;
    }
    this.#look().catch((thrown: unknown) => this.#options.onError?.(TransferError.from(thrown)));
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    for (let stamp = ''; ; ) {
      await clock.sleep(LOOK_MS, this.#hurry.signal);
      if (this.#closed.signal.aborted) return;
      if (this.#hurry.signal.aborted) await clock.sleep(SETTLE_MS, this.#closed.signal);
      this.#hurry = new AbortController();
      const now = stampOf(this.path);
      if (this.#closed.signal.aborted) return;
      if (now !== stamp) this.#read();
      stamp = now;
    }
  }

  #read(): void {
    try {
      const text = readPolicy(this.path);
      if (text === undefined) throw missing(this.path);
      if (text === this.#seen) return;
      this.#seen = text;
      if (text !== this.#text) this.#accept(text, parsePolicy(text, this.path));
    } catch (thrown) {
      const error = TransferError.from(thrown);
      const hint = `${error.hint ?? ''} Until then the policy before stays in force.`.trim();
      this.#options.onError?.(new TransferError(error.code, error.message, { hint, cause: error.cause }));
    }
  }

  #accept(text: string, policy: Policy): void {
    this.#text = text;
    this.#seen = text;
    this.#policy = policy;
    for (const changed of [...this.#listeners]) changed(policy);
  }
}

/** Undefined: there is none. @throws TransferError E_POLICY */
function readPolicy(path: string): string | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw unreadable(path, 'it is no regular file');
    if (stat.size > SIZE_MAX) throw unreadable(path, `it has ${stat.size} bytes, a policy at most ${SIZE_MAX}`);
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    if (thrown instanceof TransferError) throw thrown;
    throw unreadable(path, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** Through a link into the place where it leads, since somebody put it there. */
function writePolicy(path: string, text: string): void {
  try {
    writePrivately(readPolicy(path) === undefined ? path : realpathSync(path), text);
  } catch (thrown) {
    throw new TransferError('E_STORE', `cannot write the policy ${path}`, {
      hint: 'The policy before stays in force. See that the folder can be written to and has room.',
      cause: thrown,
    });
  }
}

function unreadable(path: string, why: string): TransferError {
  return new TransferError('E_POLICY', `cannot read the policy ${path}: ${why}`, {
    hint: `Make it a text file that the service may read, or remove it to begin with the default.`,
  });
}

function missing(path: string): TransferError {
  return new TransferError('E_POLICY', `the policy ${path} is gone`, {
    hint: 'Write it again with `blockferry policy set`; the next start of the service makes it from the default.',
  });
}

/** Changes whenever the file does. */
function stampOf(path: string): string {
  try {
    const stat = statSync(path, { bigint: true });
    return `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
  } catch (thrown) {
    // Reading it meets the same, and says it.
    return String(errnoOf(thrown));
  }
}
