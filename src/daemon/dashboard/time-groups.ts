/** Causes that are drawn in one colour: the eye tells a dozen apart, and what is alike belongs together. */
import { CAUSES, type Cause, type TimeByCause, totalTime } from '../../core/causes.js';

/** Custom properties of the style sheet. */
const COLOURS: Readonly<Record<Cause, string>> = {
  sourceRead: 'time-read',
  hash: 'time-hash',
  targetWrite: 'time-write',
  readBack: 'time-back',
  flush: 'time-flush',
  worker: 'time-lanes',
  idle: 'time-lanes',
  between: 'time-lanes',
  limit: 'time-limit',
  classLimit: 'time-limit',
  allLimit: 'time-limit',
  windowLimit: 'time-limit',
  deadline: 'time-deadline',
  sourcePressure: 'time-pressure',
  targetPressure: 'time-pressure',
  linkPressure: 'time-pressure',
  retry: 'time-error',
  error: 'time-error',
  queue: 'time-queue',
  opening: 'time-ends',
  committing: 'time-ends',
  suspended: 'time-still',
  held: 'time-still',
  away: 'time-still',
};

/** From below: what moves bytes, what waits within, what holds back, what stands still. */
const COLOUR_ORDER = [...new Set(CAUSES.map((cause) => COLOURS[cause]))];

export function colourOf(cause: Cause): string {
  return COLOURS[cause];
}

/** The colours that there is something of, from below. */
export function coloursIn(total: TimeByCause): readonly string[] {
  const found = new Set((Object.keys(total) as Cause[]).map(colourOf));
  return COLOUR_ORDER.filter((colour) => found.has(colour));
}

/** When each stretch begins, and its end, in seconds since 1970; for each colour how high it reaches, from 0 to 100. */
export function stacked(
  fromMs: number,
  spans: readonly TimeByCause[],
  colours: readonly string[],
): readonly [readonly number[], ...(readonly number[][])] {
  const times = [fromMs / 1000];
  for (const span of spans) times.push((times.at(-1) ?? 0) + totalTime(span) / 1000);
  const heights = colours.map((_colour, place) => {
    const below = new Set(colours.slice(0, place + 1));
    const reach = spans.map((span) => {
      const entries = Object.entries(span) as [Cause, number][];
      const ms = entries.reduce((sum, [cause, part]) => (below.has(colourOf(cause)) ? sum + part : sum), 0);
      return (100 * ms) / (totalTime(span) || 1);
    });
    // The last stretch reaches to its end.
    return [...reach, reach.at(-1) ?? 0];
  });
  return [times, ...heights];
}
