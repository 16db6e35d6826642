/**
 * The one error of Blockferry and the one table of its codes. A code decides what is done (retry, exit code, BITS
 * HRESULT); the message is for people. Endpoints translate at their border, so nothing above them sees an errno or an
 * HTTP status.
 */

interface ErrorKind {
  /** Whether the same chunk may succeed when it is simply tried again. */
  readonly retryable: boolean;
  /** 1 bug · 2 usage or state · 3 endpoint · 4 integrity · 5 journal · 130 interrupted. */
  readonly exitCode: number;
  /**
   * The nearest BITS or Windows HRESULT, for programs that come from BITS (learn.microsoft.com, BITS return values).
   */
  readonly hresult: number;
}

const kind = (exitCode: number, hresult: number, retryable = false): ErrorKind => ({ retryable, exitCode, hresult });

export const ERROR_KINDS = {
  E_BUG: kind(1, 0x8000ffff),
  E_USAGE: kind(2, 0x80070057),
  E_SOURCE_MISSING: kind(2, 0x80070002),
  E_SOURCE_KIND: kind(2, 0x80070057),
  E_SOURCE_ACCESS: kind(2, 0x80070005),
  E_TARGET_EXISTS: kind(2, 0x80070050),
  E_TARGET_FOLDER: kind(2, 0x80070003),
  E_TARGET_ACCESS: kind(2, 0x80070005),
  E_TARGET_KIND: kind(2, 0x80070057),
  E_PART_UNSAFE: kind(2, 0x8020000d),
  E_PART_FOREIGN: kind(2, 0x80070050),
  E_PART_OTHER_SOURCE: kind(2, 0x8020001d),
  E_PART_LOST: kind(3, 0x80070002),
  E_LOCKED: kind(2, 0x8020000d),
  E_SOURCE_READ: kind(3, 0x8007001e, true),
  E_SOURCE_CHANGED: kind(3, 0x8020001d),
  E_TARGET_WRITE: kind(3, 0x8007001d, true),
  E_TARGET_CHANGED: kind(3, 0x8020000e),
  E_NO_SPACE: kind(3, 0x80070070),
  E_TOO_LARGE: kind(3, 0x80200020),
  E_FLUSH: kind(3, 0x8007001d),
  E_NETWORK: kind(3, 0x80072efd, true),
  E_TIMEOUT: kind(3, 0x80072ee2, true),
  E_UNAVAILABLE: kind(3, 0x801901f7, true),
  E_HTTP_STATUS: kind(3, 0x80190000),
  E_AUTH: kind(3, 0x80190191),
  E_NO_RANGES: kind(3, 0x80200013),
  E_NO_SIZE: kind(3, 0x80200011),
  E_PROTOCOL: kind(3, 0x80200022, true),
  E_INTEGRITY: kind(4, 0x80200053),
  E_DIFFERENT: kind(4, 0x80200053),
  E_MANIFEST: kind(4, 0x8007000d),
  E_DISK_FORMAT: kind(4, 0x8007000d),
  E_DISK_PARENT: kind(4, 0xc03a000d),
  E_JOURNAL_DAMAGED: kind(5, 0x8007000d),
  E_JOURNAL_VERSION: kind(5, 0x80070032),
  E_JOURNAL_WRITE: kind(5, 0x8007001d),
  E_STORE: kind(5, 0x8007001d),
  E_NO_JOB: kind(2, 0x80200001),
  E_JOB_STATE: kind(2, 0x80200002),
  E_NO_VM: kind(2, 0x80070490),
  E_VM_EXISTS: kind(2, 0x800700b7),
  E_VM_STATE: kind(2, 0x8007139f),
  E_HYPERVISOR: kind(3, 0x8007001f),
  E_FORBIDDEN: kind(2, 0x80070005),
  E_POLICY: kind(2, 0x80070057),
  E_NO_SERVICE: kind(3, 0x80070005),
  E_NO_MIGRATION: kind(2, 0x80070490),
  E_MIGRATION_STATE: kind(2, 0x8007139f),
  E_STOPPED: kind(130, 0x800704c7),
} as const satisfies Record<string, ErrorKind>;

/** What went wrong, and with it what is done about it. A code stays what it is; messages may change. */
export type ErrorCode = keyof typeof ERROR_KINDS;

export interface ErrorDetail {
  /** What to do next, as a sentence. */
  readonly hint?: string;
  readonly chunk?: number;
  /** Byte offset in the source or target. */
  readonly offset?: number;
  /** What the other side asked us to wait before a retry. */
  readonly retryAfterMs?: number;
  /** What made it fail is mended already: it is tried again, and does not count as an attempt. */
  readonly mended?: boolean;
  readonly cause?: unknown;
}

/** A {@link TransferError} as plain data, fit to cross a thread or to be printed as JSON. */
export interface ErrorJson extends Omit<ErrorDetail, 'cause'> {
  readonly code: ErrorCode;
  readonly message: string;
  readonly cause?: string;
}

/** The one error that the library throws: a code for programs, a message and a hint for people. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
  readonly code: ErrorCode;
  readonly detail: Omit<ErrorDetail, 'cause'>;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    const { cause, ...rest } = detail;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = rest;
  }

  /** What to do next. */
  get hint(): string | undefined {
    return this.detail.hint;
  }

  get retryable(): boolean {
    return ERROR_KINDS[this.code].retryable;
  }

  get exitCode(): number {
    return ERROR_KINDS[this.code].exitCode;
  }

  get hresult(): number {
    return ERROR_KINDS[this.code].hresult;
  }

  /** The same error with more said about where it happened; what it already says stays. */
  with(detail: Omit<ErrorDetail, 'cause'>): TransferError {
    return new TransferError(this.code, this.message, { ...detail, ...this.detail, cause: this.cause });
  }

  toJSON(): ErrorJson {
    const cause = causeText(this.cause);
    return { code: this.code, message: this.message, ...this.detail, ...(cause === undefined ? {} : { cause }) };
  }

  static fromJSON(json: ErrorJson): TransferError {
    const { code, message, ...detail } = json;
    return new TransferError(code, message, detail);
  }

  /** Any thrown thing as a TransferError; what is not one already is a bug of ours. */
  static from(thrown: unknown): TransferError {
    if (thrown instanceof TransferError) return thrown;
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    const hint = 'This is a bug in Blockferry; finished work is kept. Please report it with the cause below.';
    return new TransferError('E_BUG', `unexpected: ${text}`, { hint, cause: thrown });
  }
}

function causeText(cause: unknown): string | undefined {
  if (cause === undefined || typeof cause === 'string') return cause;
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as NodeJS.ErrnoException).code;
  const text = code !== undefined && !cause.message.includes(code) ? `${code}: ${cause.message}` : cause.message;
  return cause instanceof TransferError || code !== undefined ? text : (cause.stack ?? text);
}

/** The errno name of a failed system call, or undefined for any other thrown thing. */
export function errnoOf(thrown: unknown): string | undefined {
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
