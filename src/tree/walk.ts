/**
 * Goes through the source trees, folder by folder, and hands out batches of names. Nothing but the packed names
 * of the folders beside and above the current one is kept, so that a million files or folders cost little memory.
 */
import { type FileGroup, joinPath, type Listing, type SourceTree } from '../core/tree.js';
import { decodePath } from '../platform/path-bytes.js';
import type { Filter } from './filter.js';

/** Names in one batch: enough to make a flush and a record worth it, few enough to keep all lanes busy. */
const BATCH_NAMES = 256;
const BATCH_FOLDERS = 64;

export interface WalkParts {
  readonly sources: readonly SourceTree[];
  readonly filter: Filter;
  list(source: SourceTree, folder: string): Promise<Listing>;
  /** A pipe, socket or device, by its path in the source. */
  onSpecial(source: SourceTree, path: string): void;
  /** A folder that could not be looked into. */
  onFailure(source: SourceTree, path: string, thrown: unknown): void;
}

interface Folder {
  readonly source: SourceTree;
  /** Below the source. */
  readonly path: string;
  readonly included: boolean;
}

export class Walk {
  readonly #parts: WalkParts;
  /** Files and links that were handed out so far. */
  files = 0;
  /** Everything was handed out. */
  ended = false;

  constructor(parts: WalkParts) {
    this.#parts = parts;
  }

  async *batches(): AsyncGenerator<FileGroup[]> {
    let batch: FileGroup[] = [];
    let names = 0;
    for await (const group of this.#groups()) {
      batch.push(group);
      names += group.files.length + group.links.length;
      if (names < BATCH_NAMES && batch.length < BATCH_FOLDERS) continue;
      yield batch;
      batch = [];
      names = 0;
    }
    if (batch.length > 0) yield batch;
    this.ended = true;
  }

  /** Folders only, the deepest first: for what can be done to a folder only when it is filled. */
  async *foldersUpwards(): AsyncGenerator<FileGroup> {
    for (const source of this.#parts.sources) {
      if (source.fileName === undefined)
        yield* this.#upwards({ source, path: '', included: !this.#parts.filter.selects });
    }
  }

  async *#upwards(folder: Folder): AsyncGenerator<FileGroup> {
    const listing = await this.#list(folder);
    if (listing) for (const child of this.#children(folder, listing.folders)) yield* this.#upwards(child);
    yield groupOf(folder, [], []);
  }

  async *#groups(): AsyncGenerator<FileGroup> {
    for (const source of this.#parts.sources) {
      if (source.fileName !== undefined) {
        this.files++;
        yield { ...groupOf({ source, path: '', included: true }, [source.fileName], []), as: source.targetName };
      } else yield* this.#below(source);
    }
  }

  async *#below(source: SourceTree): AsyncGenerator<FileGroup> {
    const root: Folder = { source, path: '', included: !this.#parts.filter.selects };
    const levels: Iterator<Folder, unknown>[] = [[root].values()];
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      const { value: folder, done } = level.next();
      const listing = done ? undefined : await this.#list(folder as Folder);
      if (done) levels.pop();
      if (done || !listing) continue;
      for (const path of this.#meant(folder, listing.specials)) this.#parts.onSpecial(source, path);
      yield* this.#filled(folder, listing);
      if (listing.folders.length > 0) levels.push(this.#children(folder, listing.folders));
    }
  }

  /** The folder in groups of names; one without names says only that there is such a folder. */
  *#filled(folder: Folder, { files, links }: Listing): Generator<FileGroup> {
    const [fileNames, linkNames]: [string[], string[]] = [[], []];
    let said = folder.source.targetName === '' && folder.path === '';
    for (const [names, kind] of [[links, linkNames] as const, [files, fileNames] as const]) {
      for (const path of this.#meant(folder, names)) {
        kind.push(path.slice(folder.path === '' ? 0 : folder.path.length + 1));
        if (fileNames.length + linkNames.length < BATCH_NAMES) continue;
        yield this.#counted(groupOf(folder, fileNames.splice(0), linkNames.splice(0)));
        said = true;
      }
    }
    const rest = fileNames.length + linkNames.length;
    if (rest > 0 || !(said || this.#parts.filter.selects)) yield this.#counted(groupOf(folder, fileNames, linkNames));
  }

  #counted(group: FileGroup): FileGroup {
    this.files += group.files.length + group.links.length;
    return group;
  }

  /** Given the names alone, since a generator keeps whatever it is called with. */
  *#children(folder: Folder, packed: Uint8Array): Generator<Folder, void> {
    const { filter } = this.#parts;
    for (const name of namesOf(packed)) {
      const path = joinPath(folder.path, name);
      if (filter.excludes(path)) continue;
      const included = folder.included || (filter.selects && filter.includes(path, false));
      yield { source: folder.source, path, included };
    }
  }

  *#meant(folder: Folder, packed: Uint8Array): Generator<string> {
    const { filter } = this.#parts;
    for (const name of namesOf(packed)) {
      const path = joinPath(folder.path, name);
      if (filter.includes(path, folder.included) && !filter.excludes(path)) yield path;
    }
  }

  async #list({ source, path }: Folder): Promise<Listing | undefined> {
    try {
      return await this.#parts.list(source, path);
    } catch (thrown) {
      this.#parts.onFailure(source, path, thrown);
      return undefined;
    }
  }
}

function groupOf({ source, path }: Folder, files: readonly string[], links: readonly string[]): FileGroup {
  const { ref, targetName, fileName } = source;
  const prefix = fileName === undefined ? targetName : '';
  const prefixDepth = prefix === '' ? 0 : 1;
  return { source: ref, sourceFolder: path, targetFolder: joinPath(prefix, path), prefixDepth, files, links };
}

function* namesOf(packed: Uint8Array): Generator<string> {
  for (let from = 0, to = packed.indexOf(0); to >= 0; from = to + 1, to = packed.indexOf(0, from)) {
    yield decodePath(packed.subarray(from, to));
  }
}
