/** Which rules hold at a moment, by the windows of the week. A window holds while its zone's clock on the wall is in it. */
import type { Policy, Rates } from '../policy.js';
import type { AllowedClasses } from '../scheduler.js';

export interface RatesNow {
  readonly rates: Rates;
  /** The window's name; `default` outside of all. */
  readonly rule: string;
  /** Milliseconds since 1970: when another rule holds; absent: never. */
  readonly until?: number;
}

export function ratesAt(_policy: Policy, _nowMs: number): RatesNow {
  throw new Error('comes next');
}

export function classesAt(_policy: Policy, _nowMs: number): AllowedClasses {
  throw new Error('comes next');
}
