/** What callers ask for, checked before anything is kept: callers without types exist, and locations are hostile. */
import { isAbsolute } from 'node:path';
import { DIGEST_BYTES } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import { parseLocation } from '../endpoint/location.js';
import type { CopyOptions } from './copy-options.js';
import { JOB_KINDS, type Job, type JobFile, type JobSettings, type NamedLocation, PRIORITIES } from './job.js';
import type { FileSpec, JobSpec } from './job-service.js';
import type { Policy } from './policy/policy.js';
import { NO_PROGRESS_MS_MAX, RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from './retry-plan.js';
import { fileName } from './storage-path.js';

const NAME_CHARACTERS_MAX = 200;
const LOCATION_CHARACTERS_MAX = 8192;
const NOTIFY_ARGUMENTS_MAX = 64;
const NOTIFY_CHARACTERS_MAX = 4000;
/** As BITS; less would be a busy loop. */
const RETRY_DELAY_MS_LEAST = 1000;
const DURATION_MS_MAX = 365 * 86_400_000;

const DEFAULTS: Omit<JobSettings, 'name'> = {
  priority: 'normal',
  autoComplete: false,
  limitBytesPerSecond: 0,
  retryDelayMsMin: RETRY_DELAY_MS_MIN,
  retryDelayMsMax: RETRY_DELAY_MS_MAX,
  noProgressMsMax: NO_PROGRESS_MS_MAX,
  transferMsMax: 0,
};

export interface Registering {
  readonly id: string;
  readonly owner: string;
  readonly wallMs: number;
  readonly policy: Policy;
}

/** @throws TransferError E_USAGE */
export function newJob(spec: JobSpec, { id, owner, wallMs, policy }: Registering): Job {
  const { files, kind = 'copy', options = {}, suspended = false, ...settings } = spec;
  if (!JOB_KINDS.includes(kind)) throw refused(`the kind is ${show(kind)}`, 'copy or migration');
  const named = newFiles(files, [], policy);
  const name = settings.name ?? shortName(named);
  return {
    ...{ id, owner, kind, files: named, options: checkedOptions(options) },
    ...DEFAULTS,
    ...checkedSettings({ ...settings, name }),
    name,
    state: suspended ? 'suspended' : 'queued',
    reason: suspended ? 'made suspended: it waits for resume' : 'made just now',
    ...{ createdAt: wallMs, changedAt: wallMs, progressAt: wallMs, transferMs: 0, retries: 0 },
  };
}

/** @param before those that the job has already. @throws TransferError E_USAGE */
export function newFiles(specs: readonly FileSpec[], before: readonly JobFile[], policy: Policy): JobFile[] {
  if (!Array.isArray(specs)) throw refused('the files are no list', 'a list of source and target');
  const count = before.length + specs.length;
  if (count > policy.filesPerJobMax) {
    throw refused(`the job would have ${count} files`, `at most ${policy.filesPerJobMax} (policy)`);
  }
  const added = specs.map(
    (spec, at): JobFile => ({
      index: before.length + at,
      source: named('source', spec.source),
      target: named('target', spec.target),
      state: 'waiting',
      ...{ bytesDone: 0, bytesReused: 0, bytesZero: 0 },
    }),
  );
  assertApart([...before, ...added]);
  return added;
}

/** Two copies to one place would wait for each other, or one replace the other. */
function assertApart(files: readonly JobFile[]): void {
  const taken = new Set<string>();
  for (const { source, target } of files) {
    const { scheme, text } = parseLocation(target.text);
    const place = text.endsWith('/') ? text + fileName(parseLocation(source.text)) : text;
    if (taken.has(place) && scheme !== 'null') {
      throw refused(
        `two files of the job have the target ${target.name}`,
        'one for each, or a folder that ends in "/"',
      );
    }
    taken.add(place);
  }
}

/** @throws TransferError E_USAGE */
export function named(what: 'source' | 'target', text: unknown): NamedLocation {
  if (typeof text !== 'string' || text.length > LOCATION_CHARACTERS_MAX) {
    throw refused(`a ${what} is no text, or too long`, 'a path or a URL');
  }
  const location = parseLocation(text);
  if (location.scheme === 'file' && !isAbsolute(location.text)) {
    throw refused(
      `the ${what} ${location.name} is a relative path`,
      'an absolute one, since the service runs elsewhere',
    );
  }
  return { text, name: location.name };
}

const OPTIONS: Readonly<Record<keyof CopyOptions, (value: unknown) => boolean>> = {
  algorithm: (value) => typeof value === 'string' && Object.hasOwn(DIGEST_BYTES, value),
  chunkBytes: isCount,
  lanes: isCount,
  readBack: isFlag,
  preserve: isFlag,
  reflink: (value) => value === 'auto' || value === 'always' || value === 'never',
  overwrite: isFlag,
  delta: isFlag,
  sync: isFlag,
  check: isFlag,
};

function checkedOptions(options: CopyOptions): CopyOptions {
  for (const [key, value] of Object.entries(options)) {
    const fits = Object.hasOwn(OPTIONS, key) ? OPTIONS[key as keyof CopyOptions] : undefined;
    if (!fits) throw refused(`there is no option ${show(key)} of a job`, Object.keys(OPTIONS).join(', '));
    if (!fits(value)) throw refused(`the option ${key} is ${show(value)}`, 'another value');
  }
  return options;
}

const SETTINGS: Readonly<Record<keyof JobSettings, (value: unknown) => string | undefined>> = {
  name: (value) =>
    isText(value, NAME_CHARACTERS_MAX) ? undefined : `a text of 1 to ${NAME_CHARACTERS_MAX} characters`,
  priority: (value) => (PRIORITIES.some((known) => known === value) ? undefined : PRIORITIES.join(', ')),
  autoComplete: (value) => (isFlag(value) ? undefined : 'true or false'),
  limitBytesPerSecond: (value) => (value === 0 || isCount(value) ? undefined : 'whole bytes per second, or 0'),
  retryDelayMsMin: (value) => (isDuration(value, RETRY_DELAY_MS_LEAST) ? undefined : 'milliseconds, 1000 or more'),
  retryDelayMsMax: (value) => (isDuration(value, RETRY_DELAY_MS_LEAST) ? undefined : 'milliseconds, 1000 or more'),
  noProgressMsMax: (value) => (isDuration(value, 0) ? undefined : 'milliseconds, or 0'),
  transferMsMax: (value) => (isDuration(value, 0) ? undefined : 'milliseconds, or 0'),
  notify: (value) => (isCommand(value) ? undefined : 'a program and its arguments, as a list'),
  webhook: (value) => (isWebhook(value) ? undefined : 'an http or https URL, and a secret'),
};

/** @throws TransferError E_USAGE */
export function checkedSettings(settings: Partial<JobSettings>): Partial<JobSettings> {
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  for (const [key, value] of given) {
    const check = Object.hasOwn(SETTINGS, key) ? SETTINGS[key as keyof JobSettings] : undefined;
    if (!check) throw refused(`there is no setting ${show(key)} of a job`, Object.keys(SETTINGS).join(', '));
    const expected = check(value);
    // A webhook's secret must not be shown.
    const shown = key === 'webhook' ? 'not understood' : show(value);
    if (expected !== undefined && !takesAway(key, value)) throw refused(`the setting ${key} is ${shown}`, expected);
  }
  return Object.fromEntries(given.map(([key, value]) => [key, takesAway(key, value) ? undefined : value]));
}

/** An empty command, and a webhook without an address: nobody is told any more. */
function takesAway(key: string, value: unknown): boolean {
  if (key === 'notify') return Array.isArray(value) && value.length === 0;
  return key === 'webhook' && (value as { url?: unknown } | null)?.url === '';
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isFlag(value: unknown): boolean {
  return typeof value === 'boolean';
}

function isText(value: unknown, max: number): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= max;
}

function isDuration(value: unknown, least: number): boolean {
  return Number.isFinite(value) && (value as number) >= least && (value as number) <= DURATION_MS_MAX;
}

function isCommand(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > NOTIFY_ARGUMENTS_MAX) return false;
  const words: readonly unknown[] = value;
  if (!words.every((word) => typeof word === 'string' && !word.includes('\0'))) return false;
  return value.join(' ').length <= NOTIFY_CHARACTERS_MAX && isAbsolute(String(value[0]));
}

function isWebhook(value: unknown): boolean {
  const { url, secret } = (value ?? {}) as { url?: unknown; secret?: unknown };
  if (typeof url !== 'string' || url.length > LOCATION_CHARACTERS_MAX || !URL.canParse(url)) return false;
  return /^https?:$/.test(new URL(url).protocol) && (secret === undefined || isText(secret, NAME_CHARACTERS_MAX));
}

/** As a file manager would call it. */
function shortName(files: readonly JobFile[]): string {
  const [first] = files;
  if (!first) return 'unnamed';
  const name =
    first.source.name
      .replace(/[?#].*$/, '')
      .replace(/\/+$/, '')
      .split('/')
      .at(-1) || first.source.name;
  const more = files.length === 1 ? '' : ` and ${files.length - 1} more`;
  return `${name.slice(0, NAME_CHARACTERS_MAX - more.length)}${more}`;
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

function refused(what: string, expected: string): TransferError {
  return new TransferError('E_USAGE', `${what}; ${expected} was expected`, { hint: 'Nothing was changed.' });
}
