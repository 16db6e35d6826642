/**
 * Where keys and values stand in a TOML text. The parser says it of what is no TOML, but not of a value that is good
 * TOML and no good policy. Only for texts that the parser has accepted.
 */

export interface Position {
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

export type Path = readonly (string | number)[];

export class Positions {
  readonly #text: string;
  readonly #keys = new Map<string, number>();
  readonly #values = new Map<string, number>();
  /** How many tables each array of tables has so far. */
  readonly #tables = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    let table: Path = [];
    for (this.#skip(/[\s]|#[^\n]*/y); this.#at < text.length; this.#skip(/[\s]|#[^\n]*/y)) {
      if (this.#peek() === '[') table = this.#header();
      else this.#pair(table);
    }
  }

  ofKey(path: Path): Position {
    return this.#position(this.#keys, path);
  }

  ofValue(path: Path): Position {
    return this.#position(this.#values, path);
  }

  /** That of the nearest thing around it that has one. */
  #position(places: ReadonlyMap<string, number>, path: Path): Position {
    for (let length = path.length; length > 0; length--) {
      const key = JSON.stringify(path.slice(0, length));
      const at = (length === path.length ? places.get(key) : undefined) ?? this.#keys.get(key) ?? this.#values.get(key);
      if (at !== undefined) return this.#lineAndColumn(at);
    }
    return { line: 1, column: 1 };
  }

  #lineAndColumn(at: number): Position {
    const before = this.#text.slice(0, at);
    return { line: before.split('\n').length, column: at - before.lastIndexOf('\n') };
  }

  #header(): Path {
    const start = this.#at;
    const isArray = this.#text.startsWith('[[', start);
    this.#at += isArray ? 2 : 1;
    const path = this.#resolve(this.#dotted());
    this.#at += isArray ? 2 : 1;
    const key = JSON.stringify(path);
    const index = this.#tables.get(key) ?? 0;
    if (isArray) this.#tables.set(key, index + 1);
    const table = isArray ? [...path, index] : path;
    this.#note(this.#keys, table, start);
    this.#note(this.#keys, path, start);
    return table;
  }

  /** `[windows.rates]` belongs to the last of `[[windows]]`. */
  #resolve(names: readonly string[]): Path {
    const path: (string | number)[] = [];
    for (const [depth, name] of names.entries()) {
      path.push(name);
      const tables = this.#tables.get(JSON.stringify(path));
      if (tables !== undefined && depth < names.length - 1) path.push(tables - 1);
    }
    return path;
  }

  #pair(table: Path): void {
    const start = this.#at;
    const path = [...table, ...this.#dotted()];
    this.#note(this.#keys, path, start);
    this.#skip(/[ \t=]/y);
    this.#value(path);
  }

  #dotted(): readonly string[] {
    const names: string[] = [];
    for (;;) {
      this.#skip(/[ \t]/y);
      names.push(this.#name());
      this.#skip(/[ \t]/y);
      if (this.#peek() !== '.') return names;
      this.#at++;
    }
  }

  #name(): string {
    if (this.#peek() === "'") return this.#take(/'[^']*'/y).slice(1, -1);
    if (this.#peek() !== '"') return this.#take(/[\w-]+/y);
    const quoted = this.#take(/"(?:\\.|[^"\\])*"/y);
    try {
      return JSON.parse(quoted);
    } catch {
      // An escape that only TOML knows: then the place of such a key is not found, and that of its table is told.
      return quoted;
    }
  }

  #value(path: Path): void {
    this.#note(this.#values, path, this.#at);
    const first = this.#peek();
    if (first === '[') this.#list(']', (index) => this.#value([...path, index]));
    else if (first === '{') this.#list('}', () => this.#pair(path));
    else if (this.#text.startsWith('"""', this.#at)) this.#take(/"""(?:\\[\s\S]|[^\\])*?"{3,5}/y);
    else if (this.#text.startsWith("'''", this.#at)) this.#take(/'''[\s\S]*?'{3,5}/y);
    else if (first === '"') this.#take(/"(?:\\.|[^"\\])*"/y);
    else if (first === "'") this.#take(/'[^']*'/y);
    else this.#take(/[^,\]}#\n]+/y);
  }

  #list(end: string, item: (index: number) => void): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skip(/[\s,]|#[^\n]*/y);
      if (this.#peek() === end || this.#at >= this.#text.length) break;
      item(index);
    }
    this.#at++;
  }

  /** The first place counts, as of a table that is opened again by a table in it. */
  #note(places: Map<string, number>, path: Path, at: number): void {
    const key = JSON.stringify(path);
    if (!places.has(key)) places.set(key, at);
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #skip(sticky: RegExp): void {
    while (this.#match(sticky) !== undefined);
  }

  /** Goes on by one character where the text is not what was promised, so that it ends. */
  #take(sticky: RegExp): string {
    const found = this.#match(sticky);
    if (found === undefined) this.#at++;
    return found ?? '';
  }

  #match(sticky: RegExp): string | undefined {
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
