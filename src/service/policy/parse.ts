/** Reads `blockferry.toml`. Strict: what is not understood is refused with its line and column, never guessed. */
import { parse, TomlError } from 'smol-toml';
import { TransferError } from '../../core/errors.js';
import type { Yields } from '../yielding.js';
import { DEFAULT_POLICY } from './default-policy.js';
import * as forms from './forms.js';
import type { MaintenanceWindow, Policy, Rates, RateWindow } from './policy.js';
import { type Path, Positions } from './positions.js';

type Forms<T> = { readonly [Name in keyof T]-?: readonly [key: string, form: forms.Form<T[Name]>] };
type Table = Readonly<Record<string, unknown>>;

const DAY_MS = 86_400_000;
/** More of them nobody can oversee. */
const WINDOWS_MAX = 100;

const SETTINGS: Forms<Omit<Policy, 'rates' | 'yields' | 'windows' | 'maintenance'>> = {
  jobsAtOnce: ['jobs_at_once', forms.wholeNumber(1, 1000)],
  foregroundAtOnce: ['foreground_at_once', forms.wholeNumber(1, 1000)],
  filesAtOnce: ['files_at_once', forms.wholeNumber(1, 64)],
  perSourcePath: ['per_source_path', forms.wholeNumber(1, 1000)],
  perTargetPath: ['per_target_path', forms.wholeNumber(1, 1000)],
  migrationsAtOnce: ['migrations_at_once', forms.wholeNumber(1, 1000)],
  sliceMs: ['slice', forms.duration(1000, DAY_MS, '30s')],
  lowSharePercent: ['low_share_percent', forms.wholeNumber(0, 25)],
  jobsMax: ['jobs_max', forms.wholeNumber(1, 1_000_000)],
  filesPerJobMax: ['files_per_job_max', forms.wholeNumber(1, 1_000_000)],
  inactivityMs: ['inactivity', forms.duration(3_600_000, 36_500 * DAY_MS, '90d', 'never')],
  inactivityDeletesPartial: ['inactivity_deletes_partial', forms.yesOrNo],
  historyMs: ['history', forms.duration(0, 36_500 * DAY_MS, '7d', 'they are not listed')],
};

const RATES: Forms<Rates> = {
  all: ['all', forms.rate],
  foreground: ['foreground', forms.rate],
  high: ['high', forms.rate],
  normal: ['normal', forms.rate],
  low: ['low', forms.rate],
};

const YIELDS: Forms<Yields> = {
  high: ['high', forms.manner],
  normal: ['normal', forms.manner],
  low: ['low', forms.manner],
};

const WINDOW: Forms<Required<Omit<MaintenanceWindow, 'classes'>>> = {
  name: ['name', forms.text(80)],
  days: ['days', forms.days],
  from: ['from', forms.timeOfDay],
  to: ['to', forms.timeOfDay],
  zone: ['zone', forms.zone],
};

const CLASSES: Forms<Pick<MaintenanceWindow, 'classes'>> = { classes: ['classes', forms.classes] };

/** What is not said is as in the default. @throws TransferError E_POLICY: line, column, key, and the expected form */
export function parsePolicy(text: string, name = 'blockferry.toml'): Policy {
  const reader = new Reader(text, name);
  const { rates, yields, windows, maintenance, ...settings } = reader.root;
  return {
    ...DEFAULT_POLICY,
    ...reader.read(settings, [], SETTINGS, ['[rates]', '[yields]', '[[windows]]', '[[maintenance]]']),
    rates: { ...DEFAULT_POLICY.rates, ...reader.rates(rates, ['rates']) },
    yields: { ...DEFAULT_POLICY.yields, ...reader.yields(yields) },
    windows: reader.list(windows, 'windows').map((table, index) => reader.rateWindow(table, ['windows', index])),
    maintenance: reader
      .list(maintenance, 'maintenance')
      .map((table, index) => reader.maintenanceWindow(table, ['maintenance', index])),
  };
}

class Reader {
  readonly root: Table;
  readonly #text: string;
  readonly #name: string;

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
    try {
      this.root = parse(text, { maxDepth: 8, unsafeKeyBehaviour: 'throw' });
    } catch (thrown) {
      if (!(thrown instanceof TomlError)) throw thrown;
      const [first = ''] = thrown.message.replace(/^Invalid TOML document: /, '').split('\n');
      throw this.#error(thrown, `no TOML: ${first}`, 'Put texts, rates and times in quotes: slice = "30s".');
    }
  }

  /** The values of a table by our names. */
  read<T extends object>(table: Table, path: Path, known: Forms<T>, others: readonly string[] = []): Partial<T> {
    const names = new Map((Object.keys(known) as (keyof T)[]).map((name) => [known[name][0], name]));
    const found: Partial<T> = {};
    for (const [key, value] of Object.entries(table)) {
      const name = names.get(key);
      if (name === undefined) throw this.#unknown([...path, key], [...names.keys(), ...others]);
      const [, form] = known[name];
      const read = form.read(value);
      if (read === undefined) throw this.#wrong([...path, key], form.expected, value);
      found[name] = read;
    }
    return found;
  }

  rates(value: unknown, path: Path): Partial<Rates> {
    if (value === undefined) return {};
    return this.read(this.#table(value, path), path, RATES);
  }

  yields(value: unknown): Partial<Yields> {
    return value === undefined ? {} : this.read(this.#table(value, ['yields']), ['yields'], YIELDS);
  }

  list(value: unknown, key: string): readonly unknown[] {
    if (value === undefined) return [];
    const tables = Array.isArray(value) && value.length <= WINDOWS_MAX ? value : undefined;
    if (!tables) throw this.#wrong([key], `at most ${WINDOWS_MAX} tables, each under [[${key}]]`, value);
    return tables;
  }

  rateWindow(value: unknown, path: Path): RateWindow {
    const { rates, ...window } = this.#table(value, path);
    if (rates === undefined) throw this.#missing(path, 'rates', 'a table such as { all = "50MiB/s" }');
    return { ...this.#window(window, path, 'rates'), rates: this.rates(rates, [...path, 'rates']) };
  }

  maintenanceWindow(value: unknown, path: Path): MaintenanceWindow {
    const { classes: list, ...window } = this.#table(value, path);
    if (list === undefined) throw this.#missing(path, 'classes', forms.classes.expected);
    const { classes = [] } = this.read({ classes: list }, path, CLASSES);
    return { ...this.#window(window, path, 'classes'), classes };
  }

  #window(table: Table, path: Path, other: string): Omit<MaintenanceWindow, 'classes'> {
    const { name, days = forms.DAYS, from, to, ...rest } = this.read(table, path, WINDOW, [other]);
    if (name === undefined) throw this.#missing(path, 'name', WINDOW.name[1].expected);
    if (from === undefined) throw this.#missing(path, 'from', WINDOW.from[1].expected);
    if (to === undefined) throw this.#missing(path, 'to', WINDOW.to[1].expected);
    return { ...rest, name, days, from, to };
  }

  #table(value: unknown, path: Path): Table {
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
    if (!isTable) throw this.#wrong(path, 'a table', value);
    return value as Table;
  }

  #wrong(path: Path, expected: string, found: unknown): TransferError {
    const shown = typeof found === 'number' ? String(found) : JSON.stringify(found);
    const short = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
    return this.#error(this.#positions.ofValue(path), `${keyText(path)} is ${short}`, `Expected ${expected}.`);
  }

  #unknown(path: Path, known: readonly string[]): TransferError {
    const at = this.#positions.ofKey(path);
    return this.#error(at, `${keyText(path)} is no setting`, `Known here: ${known.join(', ')}.`);
  }

  #missing(path: Path, key: string, expected: string): TransferError {
    const at = this.#positions.ofKey(path);
    return this.#error(at, `${keyText(path)} has no ${key}`, `Add ${key}: ${expected}.`);
  }

  get #positions(): Positions {
    return new Positions(this.#text);
  }

  #error(at: { readonly line: number; readonly column: number }, message: string, hint: string): TransferError {
    return new TransferError('E_POLICY', `${this.#name}:${at.line}:${at.column}: ${message}`, { hint });
  }
}

/** `windows 2: rates.all`, counted from 1. */
function keyText(path: Path): string {
  const names = path.map((part, depth) => (typeof part === 'number' ? ` ${part + 1}:` : depth > 0 ? `.${part}` : part));
  return names.join('').replaceAll(':.', ': ').replace(/:$/, '');
}
