/**
 * A file that lines are added to, beside everything else, and that is turned over before it is too large. A disk that
 * takes no more costs lines and nothing else; the next one that it takes says how many.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { errnoOf } from '../../core/errors.js';
import { MiB } from '../../core/units.js';

export interface LogRules {
  readonly fileBytesMax: number;
  /** Older files, beside the one that is written. */
  readonly filesMax: number;
}

/** What waits for the disk. */
const WAITING_BYTES_MAX = MiB;

export class LogFile {
  readonly #path: string;
  readonly #rules: LogRules;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  constructor(path: string, rules: LogRules) {
    this.#path = path;
    this.#rules = rules;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > WAITING_BYTES_MAX) {
      this.#lost++;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#writing ??= this.#writeAll();
  }

  /** All lines are written when it resolves, as far as the disk takes them. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #writeAll(): Promise<void> {
    for (let line = this.#waiting.shift(); line; line = this.#waiting.shift()) {
      this.#waitingBytes -= line.length;
      try {
        if (this.#lost > 0) line = Buffer.concat([Buffer.from(lostLine(this.#lost)), line]);
        const file = await this.#fileFor(line.length);
        await file.appendFile(line);
        this.#fileBytes += line.length;
        this.#lost = 0;
      } catch {
        this.#lost++;
      }
    }
    this.#writing = undefined;
  }

  async #fileFor(bytes: number): Promise<FileHandle> {
    this.#file ??= await this.#open();
    if (this.#fileBytes === 0 || this.#fileBytes + bytes <= this.#rules.fileBytesMax) return this.#file;
    await this.#file.close();
    this.#file = undefined;
    for (let number = this.#rules.filesMax; number > 0; number--) {
      const older = number === 1 ? this.#path : `${this.#path}.${number - 1}`;
      await rename(older, `${this.#path}.${number}`).catch(unlessMissing);
    }
    if (this.#rules.filesMax === 0) await rm(this.#path);
    this.#file = await this.#open();
    return this.#file;
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.#path, 'a', 0o600);
    this.#fileBytes = (await file.stat()).size;
    return file;
  }
}

function unlessMissing(thrown: unknown): void {
  if (errnoOf(thrown) !== 'ENOENT') throw thrown;
}

function lostLine(count: number): string {
  const msg = `${count} lines before this one are lost: the disk did not take them`;
  return `${JSON.stringify({ level: 40, msg })}\n`;
}
