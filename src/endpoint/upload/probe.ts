/**
 * What a server really does with a PUT of a range and with MOVE, found out on a scratch name beside the target: many
 * answer 201 to a range and then keep nothing else of the file. What was found out holds for the folder for a while.
 */
import { nowMs, systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { rangeHeader } from '../http/chunk.js';
import { SILENCE_MS_MAX, type WebAnswer } from './client.js';
import { refusal, succeeded } from './errors.js';
import { folderOf, scratchBeside } from './names.js';
import type { UploadPlace } from './place.js';

export interface Abilities {
  /**
   * A PUT of a range changes the range alone, and beyond the end the file grows, with zeroes between; and ranges can be
   * read.
   */
  readonly patches: boolean;
  /** A file can be given another name. */
  readonly moves: boolean;
  /** It is never given one that another file has, unless that is asked for. */
  readonly guards: boolean;
  /** What could not be removed afterwards, as sentences. */
  readonly left: readonly string[];
}

export const NO_ABILITIES: Abilities = { patches: false, moves: false, guards: false, left: [] };

const KNOWN_MS_MAX = 600_000;
const KNOWN_MAX = 100;
const known = new Map<string, { readonly abilities: Abilities; readonly atMs: number }>();

const WHOLE = Buffer.from('01234567');
const RANGE = Buffer.from('ab');
const BEYOND = Buffer.from('z');
const RANGE_AT = 3;
const BEYOND_AT = 15;
const PATCHED = Buffer.concat([Buffer.from('012ab567'), Buffer.alloc(BEYOND_AT - WHOLE.length), BEYOND]);

/** What says nothing of what the server can do, but that it does not do it now, or not for us. */
const TELLS_NOTHING: ReadonlySet<number> = new Set([401, 407, 408, 423, 429, 503, 504, 507]);
/** What a server answers that takes no file of this name. */
const NO_SUCH_NAMES: ReadonlySet<number> = new Set([400, 403, 405, 409, 501]);

/** Probes unless it is known already. @throws TransferError where nothing can be written at all, or nothing now */
export async function abilitiesAt(place: UploadPlace, target: URL, signal: AbortSignal): Promise<Abilities> {
  const key = JSON.stringify([folderOf(target).href, place.speaks, place.access.headers]);
  const found = known.get(key);
  if (found !== undefined && nowMs(systemClock) - found.atMs < KNOWN_MS_MAX) return found.abilities;
  const abilities = await new Probe(place, target, signal).run();
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(key, { abilities, atMs: nowMs(systemClock) });
  return abilities;
}

/** Forgets what is known of this thread's servers. */
export function forgetAbilities(): void {
  known.clear();
}

class Probe {
  readonly #place: UploadPlace;
  readonly #target: URL;
  readonly #signal: AbortSignal;
  readonly #made = new Set<URL>();

  constructor(place: UploadPlace, target: URL, signal: AbortSignal) {
    this.#place = place;
    this.#target = target;
    this.#signal = signal;
  }

  async run(): Promise<Abilities> {
    const [scratch, other] = [scratchBeside(this.#target), scratchBeside(this.#target)];
    let found = { patches: false, moves: false, guards: false };
    try {
      const first = await this.#put(scratch, WHOLE);
      if (!succeeded(first)) {
        // Where only this very URL may be written, all of it goes there at once.
        if (this.#place.speaks === 'http' && NO_SUCH_NAMES.has(first.status)) return NO_ABILITIES;
        throw refusal(this.#place.nameOf(scratch), 'cannot be written', first);
      }
      const patches = await this.#patches(scratch);
      found = { patches, ...(await this.#moves(scratch, other)) };
    } finally {
      for (const url of this.#made) await this.#remove(url);
    }
    return { ...found, left: [...this.#made].map((url) => this.#place.nameOf(url)) };
  }

  async #put(url: URL, body: Buffer, at?: number): Promise<Awaited<ReturnType<UploadPlace['ask']>>> {
    const total = at === undefined ? undefined : Math.max(WHOLE.length, at + body.length);
    const headers =
      total === undefined ? {} : { 'content-range': `bytes ${at}-${(at ?? 0) + body.length - 1}/${total}` };
    this.#made.add(url);
    return this.#place.ask({ method: 'PUT', url, headers, body }, this.#signal);
  }

  async #patches(url: URL): Promise<boolean> {
    for (const [body, at] of [[RANGE, RANGE_AT] as const, [BEYOND, BEYOND_AT] as const]) {
      const answer = await this.#put(url, body, at);
      if (succeeded(answer)) continue;
      if (!TELLS_NOTHING.has(answer.status)) return false;
      throw refusal(this.#place.nameOf(url), 'cannot be written', answer);
    }
    return ((await this.#read(url))?.equals(PATCHED) ?? false) && (await this.#readsRanges(url));
  }

  /** By ranges is read back what is on record, when a copy goes on. */
  async #readsRanges(url: URL): Promise<boolean> {
    const headers = { range: rangeHeader({ offset: RANGE_AT, length: RANGE.length }) };
    const { status, bytes } = await this.#place.ask({ method: 'GET', url, headers }, this.#signal);
    return status === 206 && bytes.equals(RANGE);
  }

  /** Moves the file, writes another one where it was, and tries to move that one onto the first. */
  async #moves(from: URL, to: URL): Promise<{ readonly moves: boolean; readonly guards: boolean }> {
    const before = await this.#read(from);
    const moved = await this.#move(from, to);
    if (!succeeded(moved)) {
      if (!TELLS_NOTHING.has(moved.status)) return { moves: false, guards: false };
      throw refusal(this.#place.nameOf(from), 'cannot be renamed', moved);
    }
    this.#made.add(to);
    const after = await this.#read(to);
    if (before === undefined || !after?.equals(before)) return { moves: false, guards: false };
    if ((await this.#read(from)) !== undefined) return { moves: false, guards: false };
    if (!succeeded(await this.#put(from, RANGE))) return { moves: true, guards: false };
    const again = await this.#move(from, to);
    return { moves: true, guards: again.status === 412 && ((await this.#read(to))?.equals(before) ?? false) };
  }

  #move(from: URL, to: URL): Promise<WebAnswer> {
    return this.#place.move({ from, to, overwrite: false, silenceMsMax: SILENCE_MS_MAX }, this.#signal);
  }

  /** Undefined: there is nothing, or nothing that can be read. */
  async #read(url: URL): Promise<Buffer | undefined> {
    const { status, bytes } = await this.#place.ask({ method: 'GET', url }, this.#signal);
    return status === 200 ? bytes : undefined;
  }

  /** Whatever cannot be removed stays in the list. */
  async #remove(url: URL): Promise<void> {
    try {
      await this.#place.remove(url, new AbortController().signal);
      this.#made.delete(url);
    } catch (thrown) {
      if (!(thrown instanceof TransferError)) throw thrown;
    }
  }
}
