/**
 * Files that are read for peers. A thread keeps those open that it was asked for lately, by path and version; nothing
 * is promised to anybody, since each request says all that is needed to open it again.
 */
import { closeSync } from 'node:fs';
import { type Clock, nowMs } from '../core/clock.js';
import type { Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { Place } from '../core/peer-wire.js';
import type { EndpointScheme } from '../endpoint/registry.js';
import { asTold, type Found, findSource, locationOf, type Root } from './roots.js';

interface Open {
  readonly key: string;
  readonly found: Found;
  readonly source: Source;
  users: number;
  usedMs: number;
}

const OPEN_MAX = 32;
const IDLE_MS_MAX = 20_000;

export interface SourceParts {
  readonly roots: readonly Root[];
  readonly local: EndpointScheme;
  readonly clock: Clock;
}

export class OpenSources {
  readonly #parts: SourceParts;
  readonly #open = new Map<string, Open>();

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  /**
   * Works with the file under that path; with a `version`, only with that one.
   * @throws TransferError E_SOURCE_CHANGED where it is another one by now
   */
  async use<T>(place: Place, version: string | undefined, work: (source: Source) => Promise<T>): Promise<T> {
    const open = await this.#take(place, version);
    try {
      return await work(open.source);
    } catch (thrown) {
      throw asTold(thrown, open.found);
    } finally {
      open.users--;
      open.usedMs = nowMs(this.#parts.clock);
      if (this.#open.size > OPEN_MAX) await this.closeOld();
    }
  }

  async close(): Promise<void> {
    for (const open of [...this.#open.values()]) await this.#close(open);
  }

  /** Counted as used before anybody else may close it. */
  async #take(place: Place, version: string | undefined): Promise<Open> {
    const known = version === undefined ? undefined : this.#open.get(keyOf(place, version));
    if (known) return used(known);
    const open = await this.#openNow(place);
    if (version !== undefined && open.source.version.value !== version) {
      await this.#close(open);
      throw new TransferError('E_SOURCE_CHANGED', `${open.found.shown} was changed while it was copied`, {
        hint: 'Nothing was put under the name of the target. Stop what writes to the source, then copy with --discard.',
      });
    }
    // Another request may have opened it meanwhile; the one that is kept is closed later, with all who use it gone.
    const first = this.#open.get(open.key);
    this.#open.set(open.key, used(first ?? open));
    if (first) await this.#close(open);
    return first ?? open;
  }

  async #openNow(place: Place): Promise<Open> {
    const { roots, local, clock } = this.#parts;
    const found = findSource(roots, place);
    try {
      const source = await local.openSource?.(locationOf(found));
      if (!source) throw new TransferError('E_BUG', 'the local end opens no sources');
      return { key: keyOf(place, source.version.value), found, source, users: 0, usedMs: nowMs(clock) };
    } catch (thrown) {
      const told = asTold(thrown, found);
      closeSync(found.folder.fd);
      throw told;
    }
  }

  /** To be called now and then. */
  async closeOld(): Promise<void> {
    const before = nowMs(this.#parts.clock) - IDLE_MS_MAX;
    const idle = [...this.#open.values()].filter(({ users }) => users === 0);
    const surplus = this.#open.size - OPEN_MAX;
    for (const [at, open] of idle.entries()) if (open.usedMs < before || at < surplus) await this.#close(open);
  }

  async #close(open: Open): Promise<void> {
    if (this.#open.get(open.key) === open) this.#open.delete(open.key);
    try {
      await open.source.close();
    } finally {
      closeSync(open.found.folder.fd);
    }
  }
}

/** To be asked behind the last byte: of holes nothing is read, and a file that was changed may have others. */
export function assertSame(source: Source): void {
  source.openChunk({ offset: 0, length: 0 }, new AbortController().signal).close();
}

function used(open: Open): Open {
  open.users++;
  return open;
}

function keyOf({ root, path }: Place, version: string): string {
  return JSON.stringify([root, path, version]);
}
