/**
 * One file of a server, opened when it is first needed and again after the connection was lost. What was begun with one
 * opening stays with it: whoever writes a chunk learns of it when a part of what he wrote may be lost.
 */
import type { Handle, SftpSession } from './session.js';

export interface FilePlace {
  readonly path: string;
  /** As for {@link SftpSession.open}. */
  readonly flags: number;
  session(): Promise<SftpSession>;
  /** Looks whether it is the right file. @throws TransferError, StatusError */
  check(session: SftpSession, handle: Handle): Promise<void>;
}

export class RemoteFile {
  readonly #place: FilePlace;
  #opened: Promise<OpenFile> | undefined;

  constructor(place: FilePlace) {
    this.#place = place;
  }

  async opened(): Promise<OpenFile> {
    const known = this.#opened;
    const file = await known;
    if (file && !file.isVoid) return file;
    if (this.#opened !== known) return this.opened();
    if (file) void closeQuietly(file.session, file.handle);
    const opening = this.#open();
    this.#opened = opening;
    try {
      return await opening;
    } catch (thrown) {
      if (this.#opened === opening) this.#opened = undefined;
      throw thrown;
    }
  }

  async #open(): Promise<OpenFile> {
    const { path, flags, check } = this.#place;
    const session = await this.#place.session();
    const handle = await session.open(path, flags);
    try {
      await check(session, handle);
      return new OpenFile(session, handle);
    } catch (thrown) {
      await closeQuietly(session, handle);
      throw thrown;
    }
  }

  async close(): Promise<void> {
    const closing = this.#opened;
    this.#opened = undefined;
    const file = await closing?.catch(() => undefined);
    if (file) await closeQuietly(file.session, file.handle);
  }
}

/** What was to be read is read, and what was to be durable is: how it ends tells nothing more. */
export async function closeQuietly(session: SftpSession, handle: Handle): Promise<void> {
  if (session.lost) return;
  await session.closeHandle(handle).catch(() => undefined);
}

export class OpenFile {
  readonly session: SftpSession;
  readonly handle: Handle;
  #syncing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #spoiled = false;

  constructor(session: SftpSession, handle: Handle) {
    this.session = session;
    this.handle = handle;
  }

  /** What was written through it and is not durable may be lost, and its next flush would not tell. */
  get isVoid(): boolean {
    return this.#spoiled || this.session.lost;
  }

  /**
   * What was written before is durable after. Whoever comes while one is under way shares the next one with all others
   * that come. After one that failed the file is void: the system behind it forgets what it could not write.
   */
  sync(): Promise<void> {
    if (!this.#syncing) return this.#sync();
    this.#next ??= this.#syncing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#sync();
      });
    return this.#next;
  }

  async #sync(): Promise<void> {
    const syncing = this.session.fsync(this.handle);
    this.#syncing = syncing;
    try {
      await syncing;
    } catch (thrown) {
      this.#spoiled = true;
      throw thrown;
    } finally {
      this.#syncing = undefined;
    }
  }
}
