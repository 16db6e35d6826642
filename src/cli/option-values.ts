/** Reads the values of options, strictly: what is not understood is refused with a hint, never guessed. */
import { TransferError } from '../core/errors.js';
import { parseBytes, parseRate } from '../core/units.js';

export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export const WORKERS_MAX = 64;
export const LANES_MAX = 1024;

export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

export function rate(option: string): (text: string) => number {
  return (text) => (text === '0' ? 0 : parseRate(text, option));
}

export function size(option: string): (text: string) => number {
  return (text) => parseBytes(text, option);
}

export function days(option: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,5}(\.\d+)?$/.test(text)) return Number(text);
    throw new TransferError('E_USAGE', `${option}: cannot use ${JSON.stringify(text)}`, {
      hint: 'Write a number of days, such as 7 or 0.5.',
    });
  };
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds; 0 needs no unit. */
export function duration(option: string): (text: string) => number {
  return (text) => {
    if (text === '0') return 0;
    const [, amount = '', unit = ''] = /^(\d{1,9}(?:\.\d+)?) ?(s|min|h|d)$/.exec(text) ?? [];
    const ms = Math.round(Number(amount) * (UNITS_MS[unit] ?? 0));
    if (ms > 0) return ms;
    throw new TransferError('E_USAGE', `${option}: cannot use ${JSON.stringify(text)}`, {
      hint: 'Write a number with a unit, such as 30s, 10min, 12h or 14d; 0 stands alone.',
    });
  };
}

export function count(option: string, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : 0;
    if (value >= 1 && value <= max) return value;
    throw new TransferError('E_USAGE', `${option}: cannot use ${JSON.stringify(text)}`, {
      hint: `Write a whole number from 1 to ${max}, or leave ${option} out.`,
    });
  };
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[address]:port` or `:port`, which is every address of the machine. */
export function readAddress(option: string, text: string, portDefault: number): Address {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const port = digits === undefined ? portDefault : Number(digits);
  if ((bracketed ?? plain) === undefined || port > 65_535) {
    throw new TransferError('E_USAGE', `${option}: cannot use ${JSON.stringify(text)}`, {
      hint: 'Write host:port, [IPv6 address]:port, or :port for all addresses of this machine.',
    });
  }
  return { host: bracketed ?? (plain === '' ? '::' : (plain as string)), port };
}

export const FINISH_BY = 'no faster than it takes to be done by then, such as 06:00 or 2030-01-31T06:00';
