/**
 * Which rules hold at a moment, by the windows of the week. A window holds while its zone's clock on the wall shows a
 * time in it, and that alone decides: what daylight saving skips does not come, what it repeats comes twice, and a
 * clock that is set anew counts at once. So whoever asks should ask again at `until`, and once a minute besides.
 */
import { PRIORITIES } from '../job.js';
import type { AllowedClasses } from '../scheduler.js';
import { DAYS } from './forms.js';
import type { MaintenanceWindow, Policy, Rates } from './policy.js';

export interface RatesNow {
  readonly rates: Rates;
  /** The window's name; `default` outside of all. */
  readonly rule: string;
  /** What the window says itself; the others of `rates` are as outside of all. */
  readonly own?: Partial<Rates>;
  /** Milliseconds since 1970: when another rule holds; absent: never. */
  readonly until?: number;
}

type Window = Omit<MaintenanceWindow, 'classes'>;

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
/** A week shows each window once; the day more is for daylight saving. */
const LOOK_AHEAD_MS = 8 * DAY_MINUTES * MINUTE_MS;

/** The first window that holds binds; what it does not say is as outside of all. */
export function ratesAt(policy: Policy, nowMs: number): RatesNow {
  const window = firstOf(policy.windows, nowMs);
  const { rates: own } = window ?? {};
  return { rates: { ...policy.rates, ...own }, ...named(policy.windows, window, nowMs), ...(own && { own }) };
}

/** The first window that holds binds; outside of all, every class runs. */
export function classesAt(policy: Policy, nowMs: number): AllowedClasses {
  const window = firstOf(policy.maintenance, nowMs);
  return { classes: window?.classes ?? PRIORITIES, ...named(policy.maintenance, window, nowMs) };
}

function named<W extends Window>(windows: readonly W[], window: W | undefined, nowMs: number) {
  const until = changeOf(windows, window, nowMs);
  return { rule: window?.name ?? 'default', ...(until === undefined ? {} : { until }) };
}

function firstOf<W extends Window>(windows: readonly W[], atMs: number): W | undefined {
  return windows.find((window) => holds(window, minuteOfWeek(zoneOf(window), atMs)));
}

/** When another of the windows binds. */
function changeOf<W extends Window>(windows: readonly W[], binding: W | undefined, nowMs: number): number | undefined {
  // Those after the one that binds change nothing as long as it does.
  const relevant = binding ? windows.slice(0, windows.indexOf(binding) + 1) : windows;
  for (let at = nowMs; at < nowMs + LOOK_AHEAD_MS; ) {
    at = Math.min(...relevant.map((window) => edgeAfter(window, at)));
    if (Number.isFinite(at) && firstOf(windows, at) !== binding) return at;
  }
  return undefined;
}

/** When a window begins or ends; infinite when it does neither. */
function edgeAfter(window: Window, fromMs: number): number {
  const zone = zoneOf(window);
  const held = holds(window, minuteOfWeek(zone, fromMs));
  for (let at = fromMs; at < fromMs + LOOK_AHEAD_MS; ) {
    const shown = minuteOfWeek(zone, at) % DAY_MINUTES;
    const wait = Math.min(minutesUntil(window.from, shown), minutesUntil(window.to, shown));
    at = offsetChange(zone, at, (Math.floor(at / MINUTE_MS) + wait) * MINUTE_MS);
    if (holds(window, minuteOfWeek(zone, at)) !== held) return at;
  }
  return Number.POSITIVE_INFINITY;
}

/** The first minute after `fromMs` at which the zone's clocks are set to another offset; `toMs` when there is none. */
function offsetChange(zone: string, fromMs: number, toMs: number): number {
  const offset = (atMs: number): number =>
    modulo(minuteOfWeek(zone, atMs) - Math.floor(atMs / MINUTE_MS), WEEK_MINUTES);
  const before = offset(fromMs);
  if (offset(toMs) === before) return toMs;
  let [same, other] = [Math.floor(fromMs / MINUTE_MS), Math.floor(toMs / MINUTE_MS)];
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2);
    if (offset(middle * MINUTE_MS) === before) same = middle;
    else other = middle;
  }
  return other * MINUTE_MS;
}

function holds(window: Window, minute: number): boolean {
  const [from, to] = [minuteOfDay(window.from), minuteOfDay(window.to)];
  const day = Math.floor(minute / DAY_MINUTES);
  const shown = minute % DAY_MINUTES;
  const begins = (which: number): boolean => window.days.includes(DAYS[modulo(which, 7)] ?? '');
  if (from < to) return begins(day) && shown >= from && shown < to;
  return (begins(day) && shown >= from) || (begins(day - 1) && shown < to);
}

/** From 1 to a day. */
function minutesUntil(time: string, shown: number): number {
  return modulo(minuteOfDay(time) - shown - 1, DAY_MINUTES) + 1;
}

function minuteOfDay(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

/** From Monday 00:00, as the clock on the wall of that zone shows it. */
function minuteOfWeek(zone: string, atMs: number): number {
  const formatter = formatters.get(zone) ?? newFormatter(zone);
  formatters.set(zone, formatter);
  const parts = new Map(formatter.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const day = DAYS.indexOf(parts.get('weekday')?.toLowerCase() ?? '');
  return (day * 24 + Number(parts.get('hour'))) * 60 + Number(parts.get('minute'));
}

function newFormatter(timeZone: string): Intl.DateTimeFormat {
  const shown = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  return new Intl.DateTimeFormat('en-US', { ...shown, timeZone });
}

/** The machine's zone is asked for each time, since it may be set anew. */
function zoneOf(window: Window): string {
  return window.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
