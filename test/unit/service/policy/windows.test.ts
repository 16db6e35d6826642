import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PRIORITIES } from '../../../../src/service/job.js';
import { parsePolicy } from '../../../../src/service/policy/parse.js';
import type { Policy } from '../../../../src/service/policy/policy.js';
import { classesAt, ratesAt } from '../../../../src/service/policy/windows.js';

const MINUTE = 60_000;
const at = (text: string): number => Date.parse(text);
const said = (until: number | undefined): string | undefined =>
  until === undefined ? undefined : new Date(until).toISOString().slice(0, 16);

function windows(...lines: readonly string[]): Policy {
  return parsePolicy(lines.map((line) => `[[windows]]\n${line.replaceAll('; ', '\n')}\n`).join(''));
}

const one = (about: string): Policy => windows(`name = "w"; rates = { all = "1MiB" }; ${about}`);
const night = one('from = "22:00"; to = "06:00"; days = ["fri"]; zone = "UTC"');

test('outside of all windows the rates of the policy hold, until the next window begins', () => {
  const policy = parsePolicy('rates.low = "2MiB"');
  expect(ratesAt(policy, at('2026-11-26T12:00Z'))).toEqual({ rates: policy.rates, rule: 'default' });
  const { rule, until } = ratesAt(night, at('2026-11-26T12:00Z'));
  expect([rule, said(until)]).toEqual(['default', '2026-11-27T22:00']);
});

test('a window changes only the rates that it names, until its end', () => {
  const policy = { ...night, rates: { ...night.rates, low: 77 } };
  const now = ratesAt(policy, at('2026-11-27T22:00Z'));
  expect(now).toMatchObject({ rule: 'w', rates: { all: 1024 ** 2, low: 77, high: 0 } });
  expect(said(now.until)).toBe('2026-11-28T06:00');
});

test.each([
  ['2026-11-27T21:59Z', 'default'],
  ['2026-11-27T22:00Z', 'w'],
  ['2026-11-28T05:59Z', 'w'],
  ['2026-11-28T06:00Z', 'default'],
  ['2026-11-28T22:00Z', 'default'],
  ['2026-11-27T05:00Z', 'default'],
])('a window over midnight belongs to the day on which it begins: %s %s', (time, rule) => {
  expect(ratesAt(night, at(time)).rule).toBe(rule);
});

test('a window over the end of the week goes on on Monday', () => {
  const policy = one('from = "23:00"; to = "01:00"; days = ["sun"]; zone = "UTC"');
  expect(said(ratesAt(policy, at('2026-11-29T23:30Z')).until)).toBe('2026-11-30T01:00');
  expect(ratesAt(policy, at('2026-11-30T00:30Z')).rule).toBe('w');
});

test('a window from a time to the same time lasts a day; one of all days has no end', () => {
  const day = one('from = "08:00"; to = "08:00"; days = ["mon"]; zone = "UTC"');
  expect(said(ratesAt(day, at('2026-11-30T09:00Z')).until)).toBe('2026-12-01T08:00');
  const always = ratesAt(one('from = "00:00"; to = "24:00"; zone = "UTC"'), at('2026-11-30T09:00Z'));
  expect(always).toMatchObject({ rule: 'w' });
  expect(always).not.toHaveProperty('until');
});

test('windows of days in a row that touch are one, and until is where it really ends', () => {
  const policy = one('from = "00:00"; to = "24:00"; days = ["mon-fri"]; zone = "UTC"');
  expect(said(ratesAt(policy, at('2026-11-24T09:00Z')).until)).toBe('2026-11-28T00:00');
});

test('of windows that overlap the first in the file binds, and until is when another does', () => {
  const policy = windows(
    'name = "short"; from = "12:00"; to = "13:00"; zone = "UTC"; rates = {}',
    'name = "long"; from = "08:00"; to = "18:00"; zone = "UTC"; rates = {}',
    'name = "never"; from = "10:00"; to = "11:00"; zone = "UTC"; rates = {}',
  );
  const course = ['07:30', '08:00', '11:00', '12:00', '13:00', '18:00'].map((time) => {
    const { rule, until } = ratesAt(policy, at(`2026-11-26T${time}Z`));
    return `${rule} until ${said(until)?.slice(11)}`;
  });
  expect(course).toEqual([
    'default until 08:00',
    'long until 12:00',
    'long until 12:00',
    'short until 13:00',
    'long until 18:00',
    'default until 08:00',
  ]);
});

test('each window has its own zone', () => {
  const policy = windows(
    'name = "Berlin"; from = "08:00"; to = "09:00"; zone = "Europe/Berlin"; rates = {}',
    'name = "Kolkata"; from = "08:00"; to = "09:00"; zone = "Asia/Kolkata"; rates = {}',
    'name = "Chatham"; from = "08:00"; to = "09:00"; zone = "Pacific/Chatham"; rates = {}',
  );
  expect(ratesAt(policy, at('2026-11-26T07:00Z')).rule).toBe('Berlin');
  expect(ratesAt(policy, at('2026-11-26T02:30Z')).rule).toBe('Kolkata');
  expect(ratesAt(policy, at('2026-11-26T18:15Z')).rule).toBe('Chatham');
});

test('without a zone it is that of the machine', () => {
  const policy = one('from = "08:00"; to = "09:00"');
  const morning = new Date(2026, 10, 26, 8, 30).getTime();
  expect(ratesAt(policy, morning).rule).toBe('w');
  expect(ratesAt(policy, morning + 60 * MINUTE).rule).toBe('default');
});

describe('daylight saving in Berlin', () => {
  // The clocks go from 02:00 to 03:00 on 2026-03-29 at 01:00Z, and from 03:00 to 02:00 on 2026-10-25 at 01:00Z.
  const berlin = (from: string, to: string): Policy => one(`from = "${from}"; to = "${to}"; zone = "Europe/Berlin"`);
  const course = (policy: Policy, from: string, to: string): readonly string[] => {
    const found: string[] = [];
    for (let time = at(from); time < at(to); ) {
      const { rule, until = Number.POSITIVE_INFINITY } = ratesAt(policy, time);
      found.push(`${rule} until ${new Date(until).toISOString().slice(11, 16)}Z`);
      time = until;
    }
    return found;
  };

  test('a window in the hour that is skipped does not come on that day', () => {
    const policy = berlin('02:15', '02:45');
    expect(said(ratesAt(policy, at('2026-03-28T12:00Z')).until)).toBe('2026-03-30T00:15');
  });

  test('a window that ends in the skipped hour ends where that begins; one that begins in it, at its end', () => {
    expect(course(berlin('01:30', '02:30'), '2026-03-28T23:00Z', '2026-03-29T02:00Z')).toEqual([
      'default until 00:30Z',
      'w until 01:00Z',
      'default until 23:30Z',
    ]);
    expect(course(berlin('02:30', '03:30'), '2026-03-28T23:00Z', '2026-03-29T02:00Z')).toEqual([
      'default until 01:00Z',
      'w until 01:30Z',
      'default until 00:30Z',
    ]);
  });

  test('a window in the hour that is repeated comes twice', () => {
    expect(course(berlin('02:15', '02:45'), '2026-10-24T23:00Z', '2026-10-25T02:00Z')).toEqual([
      'default until 00:15Z',
      'w until 00:45Z',
      'default until 01:15Z',
      'w until 01:45Z',
      'default until 01:15Z',
    ]);
  });

  test('a window around the change is as long as the clock on the wall says: 22:00 to 06:00', () => {
    const policy = berlin('22:00', '06:00');
    expect(said(ratesAt(policy, at('2026-03-28T21:00Z')).until)).toBe('2026-03-29T04:00');
    expect(said(ratesAt(policy, at('2026-10-24T20:00Z')).until)).toBe('2026-10-25T05:00');
  });
});

test('a clock that is set anew counts at once: the answer depends on the time alone', () => {
  const noon = at('2026-11-27T12:00Z');
  const first = ratesAt(night, noon);
  expect(ratesAt(night, noon + 11 * 60 * MINUTE).rule).toBe('w');
  expect(ratesAt(night, noon)).toEqual(first);
});

test('until is the next minute at which a look at every minute finds another answer', () => {
  const time = fc.tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom('00', '15', '30', '59'));
  const text = time.map(([hour, minute]) => `${String(hour).padStart(2, '0')}:${minute}`);
  const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Pacific/Apia');
  const days = fc.subarray(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], { minLength: 1 });
  const window = fc.record({ days, from: text, to: text, zone });
  // Around the changes of 2026 in those zones, and anywhere.
  const moment = fc
    .tuple(
      fc.constantFrom('2026-03-08', '2026-03-29', '2026-04-05', '2026-10-04', '2026-10-25', '2026-11-01'),
      fc.nat(2880),
    )
    .map(([day, minutes]) => at(day) + (minutes - 1440) * MINUTE);
  fc.assert(
    fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), moment, (list, now) => {
      const policy = {
        ...parsePolicy(''),
        windows: list.map((about, index) => ({ ...about, name: `w${index}`, rates: {} })),
      };
      const whole = (atMs: number): string => ratesAt(policy, atMs).rule;
      const { rule, until = Number.POSITIVE_INFINITY } = ratesAt(policy, now);
      const end = Math.min(until, now + 600 * MINUTE);
      for (let time = now; time < end; time += 15 * MINUTE) expect(whole(time)).toBe(rule);
      if (Number.isFinite(until)) expect([until % MINUTE, whole(until) === rule]).toEqual([0, false]);
      if (Number.isFinite(until)) expect(whole(until - 1)).toBe(rule);
    }),
    { numRuns: 60 },
  );
});

describe('maintenance', () => {
  const policy = parsePolicy(
    '[[maintenance]]\nname = "backup"\nfrom = "01:00"\nto = "03:00"\nzone = "UTC"\nclasses = ["foreground"]',
  );

  test('outside of all windows every class runs, until one begins', () => {
    expect(classesAt(parsePolicy(''), 0)).toEqual({ classes: PRIORITIES, rule: 'default' });
    const { classes, rule, until } = classesAt(policy, at('2026-11-26T12:00Z'));
    expect([classes, rule, said(until)]).toEqual([PRIORITIES, 'default', '2026-11-27T01:00']);
  });

  test('in a window only its classes run, until it ends', () => {
    const { classes, rule, until } = classesAt(policy, at('2026-11-26T02:00Z'));
    expect([classes, rule, said(until)]).toEqual([['foreground'], 'backup', '2026-11-26T03:00']);
  });
});
