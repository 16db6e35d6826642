/** The forms that values of a policy may have: each reads one, and says what it expects. */
import { TransferError } from '../../core/errors.js';
import { parseDuration, parseRate } from '../../core/units.js';
import { YIELDS, type Yield } from '../../yield/control-law.js';
import { PRIORITIES, type Priority } from '../job.js';

export interface Form<T> {
  /** As the end of "expected …". */
  readonly expected: string;
  /** Undefined: it is not of this form. */
  readonly read: (value: unknown) => T | undefined;
}

/** Monday first, as `Intl` names them. */
export const DAYS: readonly string[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

export const yesOrNo: Form<boolean> = {
  expected: 'true or false',
  read: (value) => (typeof value === 'boolean' ? value : undefined),
};

export function wholeNumber(min: number, max: number): Form<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    read: (value) =>
      Number.isInteger(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined,
  };
}

/** Milliseconds. */
export function duration(minMs: number, maxMs: number, example: string, zero?: string): Form<number> {
  const limits = zero === undefined ? '' : `, or 0: ${zero}`;
  return {
    expected: `a time such as "${example}"${limits}`,
    read: (value) => {
      if (zero !== undefined && isZero(value)) return 0;
      const ms = typeof value === 'string' ? unlessRefused(() => parseDuration(value, '')) : undefined;
      return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined;
    },
  };
}

/** Bytes per second. */
export const rate: Form<number> = {
  expected: 'a rate such as "50MiB/s" or "400Mbit/s", or 0: no limit',
  read: (value) => {
    if (isZero(value)) return 0;
    return typeof value === 'string' ? unlessRefused(() => parseRate(value, '')) : undefined;
  },
};

export const manner: Form<Yield | 'none'> = {
  expected: `one of ${[...YIELDS, 'none'].map((known) => `"${known}"`).join(', ')}`,
  read: (value) => (value === 'none' ? value : YIELDS.find((known) => known === value)),
};

export function text(lengthMax: number): Form<string> {
  return {
    expected: `a text of 1 to ${lengthMax} characters`,
    read: (value) =>
      typeof value === 'string' && value.trim() !== '' && value.length <= lengthMax ? value : undefined,
  };
}

/** `HH:MM`. */
export const timeOfDay: Form<string> = {
  expected: 'a time of day from "00:00" to "24:00"',
  read: (value) => {
    if (value === '24:00') return '00:00';
    return typeof value === 'string' && /^([01]\d|2[0-3]):[0-5]\d$/.test(value) ? value : undefined;
  },
};

export const zone: Form<string> = {
  expected: 'the name of a time zone, such as "Europe/Berlin" or "UTC"',
  read: (value) => {
    if (typeof value !== 'string' || value === '') return undefined;
    try {
      return new Intl.DateTimeFormat('en', { timeZone: value }) && value;
    } catch (thrown) {
      if (thrown instanceof RangeError) return undefined;
      throw thrown;
    }
  },
};

/** Days in the order of the week, each once. */
export const days: Form<readonly string[]> = {
  expected: `a list of days and of ranges of days, such as ["mon-fri", "sun"], of ${DAYS.join(', ')}`,
  read: (value) => {
    if (!Array.isArray(value) || value.length === 0) return undefined;
    const lists = value.map(daysFromTo);
    return lists.includes(undefined) ? undefined : DAYS.filter((day) => lists.some((list) => list?.includes(day)));
  },
};

/** From the highest to the lowest, each once. */
export const classes: Form<readonly Priority[]> = {
  expected: `a list of ${PRIORITIES.map((priority) => `"${priority}"`).join(', ')}; [] lets nothing run`,
  read: (value) => {
    if (!Array.isArray(value) || value.some((item) => !PRIORITIES.includes(item))) return undefined;
    return PRIORITIES.filter((priority) => value.includes(priority));
  },
};

function daysFromTo(value: unknown): readonly string[] | undefined {
  const [first = '', last = first, ...more] = typeof value === 'string' ? value.split('-') : [];
  const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
  if (from < 0 || to < 0 || more.length > 0) return undefined;
  return DAYS.filter((_, day) => (from <= to ? day >= from && day <= to : day >= from || day <= to));
}

function isZero(value: unknown): boolean {
  return value === 0 || value === '0';
}

function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof TransferError && thrown.code === 'E_USAGE') return undefined;
    throw thrown;
  }
}
