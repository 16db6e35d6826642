/**
 * Sizes, rates and times as people write and read them. Parsing is strict: what is not understood is refused, never
 * guessed.
 */
import { TransferError } from './errors.js';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

const MULTIPLIERS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ...['k', 'm', 'g', 't', 'p'].flatMap((prefix, index): [string, number][] => [
    [prefix, 1024 ** (index + 1)],
    [`${prefix}ib`, 1024 ** (index + 1)],
    [`${prefix}b`, 1000 ** (index + 1)],
    [`${prefix}bit`, 1000 ** (index + 1) / 8],
  ]),
]);

/**
 * Reads a size such as `8MiB`, `8M` (both 1024-based), `8MB` (1000-based) or `400Mbit` as a whole number of bytes.
 * @throws TransferError E_USAGE when it is no size, is not positive or is above 2^53-1.
 */
export function parseBytes(text: string, what: string, kind = 'size'): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const multiplier = match && MULTIPLIERS.get(match[2]?.toLowerCase() ?? '');
  const bytes = match && multiplier ? Math.floor(Number(match[1]) * multiplier) : Number.NaN;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new TransferError('E_USAGE', `${what}: cannot read ${JSON.stringify(text)} as a ${kind}`, {
    hint: 'Write a positive number with a unit, such as 64KiB, 8MiB, 1.5GiB, 50MB or 400Mbit.',
  });
}

/** Reads a rate such as `50MiB`, `50MiB/s` or `400Mbit/s` as bytes per second. @throws TransferError E_USAGE */
export function parseRate(text: string, what: string): number {
  return parseBytes(text.trim().replace(/(\/s|ps)$/i, ''), what, 'rate');
}

const DURATIONS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 7 * 86_400_000],
]);

/** Reads a time such as `30s`, `15min`, `2h` or `90d` as whole milliseconds. @throws TransferError E_USAGE */
export function parseDuration(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/.exec(text.trim());
  const ms = Math.round(Number(match?.[1]) * (DURATIONS.get(match?.[2] ?? '') ?? Number.NaN));
  if (Number.isSafeInteger(ms) && ms > 0) return ms;
  throw new TransferError('E_USAGE', `${what}: cannot read ${JSON.stringify(text)} as a time`, {
    hint: 'Write a positive number with a unit, such as 500ms, 30s, 15min, 2h, 90d or 2w.',
  });
}

/** `1.50 GiB`, with three significant digits; whole numbers below 1 KiB. */
export function formatBytes(bytes: number): string {
  let power = 0;
  let value = bytes;
  while (value >= 1023.5 && power < BINARY.length - 1) {
    value /= 1024;
    power++;
  }
  const digits = power === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${BINARY[power]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
