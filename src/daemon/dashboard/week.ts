/** The windows of the policy, laid out on a week: which hours of which days each of them covers. */
import { formatRate } from '../../core/units.js';
import type { MaintenanceWindow, Policy, RateWindow } from '../../service/policy/policy.js';

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export const DAY_MINUTES = 24 * 60;

export interface Segment {
  /** 0: Monday. */
  readonly day: number;
  /** Minutes from the beginning of the day. */
  readonly from: number;
  readonly to: number;
}

interface Hours {
  readonly days: readonly string[];
  readonly from: string;
  readonly to: string;
}

/** A window whose end is not after its beginning ends on the next day, and Sunday's on Monday. */
export function segmentsOf({ days, from, to }: Hours): readonly Segment[] {
  const [begin, end] = [minutesOf(from), minutesOf(to)];
  return days
    .map((name) => (DAYS as readonly string[]).indexOf(name))
    .filter((day) => day !== -1)
    .flatMap((day) => {
      if (end > begin) return [{ day, from: begin, to: end }];
      const rest = { day: (day + 1) % DAYS.length, from: 0, to: end };
      return [{ day, from: begin, to: DAY_MINUTES }, ...(end > 0 ? [rest] : [])];
    });
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

/** `Monday to Friday, 08:00 to 18:00 (Europe/Berlin): all at most 95.4 MiB/s`. */
export function windowWords(window: RateWindow | MaintenanceWindow): string {
  const zone = window.zone === undefined ? 'the machine’s time' : window.zone;
  return `${daysWords(window.days)}, ${window.from} to ${window.to} (${zone}): ${effectWords(window)}`;
}

function effectWords(window: RateWindow | MaintenanceWindow): string {
  if ('classes' in window) {
    return window.classes.length === 0 ? 'no job runs' : `only ${window.classes.join(', ')} jobs run`;
  }
  const rates = Object.entries(window.rates).map(([name, rate]) =>
    rate === 0 ? `${name}: no limit` : `${name} at most ${formatRate(rate)}`,
  );
  return rates.length === 0 ? 'no limit' : rates.join(', ');
}

const WORDS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

function daysWords(days: readonly string[]): string {
  const at = DAYS.flatMap((name, day) => (days.includes(name) ? [day] : []));
  const [first = 0, last = 0] = [at[0], at.at(-1)];
  if (at.length === DAYS.length) return 'Every day';
  if (at.length > 2 && last - first === at.length - 1) return `${WORDS[first]} to ${WORDS[last]}`;
  return at.map((day) => WORDS[day]).join(', ');
}

/** As the service asks for them: the first that holds binds, and maintenance overrides all. */
export function windowsOf({ maintenance, windows }: Policy): readonly (RateWindow | MaintenanceWindow)[] {
  return [...maintenance, ...windows];
}
