import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import { MiB } from '../../../../src/core/units.js';
import { DEFAULT_POLICY, defaultPolicyText } from '../../../../src/service/policy/default-policy.js';
import { parsePolicy } from '../../../../src/service/policy/parse.js';

const EVERY_DAY = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

function refusal(text: string): TransferError {
  try {
    parsePolicy(text);
  } catch (thrown) {
    if (thrown instanceof TransferError) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
}

test('the default file says what the default is', () => {
  expect(parsePolicy(defaultPolicyText())).toEqual(DEFAULT_POLICY);
});

test('the default file names every setting, and each has a reason above it', () => {
  const settings = Object.keys(DEFAULT_POLICY).length - ['rates', 'yields', 'windows', 'maintenance'].length;
  const { rates, yields } = DEFAULT_POLICY;
  const inTables = Object.keys(rates).length + Object.keys(yields).length;
  expect(defaultPolicyText().match(/^[a-z_]+ = /gm)).toHaveLength(settings + inTables);
  const blocks = defaultPolicyText().split('\n\n');
  expect(blocks.filter((block) => !block.startsWith('# '))).toEqual([]);
});

test('the examples in the default file are right too', () => {
  const text = defaultPolicyText().replace(/^# (?=\[\[|[a-z]+ = )/gm, '');
  expect(parsePolicy(text)).toMatchObject({
    windows: [{ name: 'office hours', zone: 'Europe/Berlin', rates: { all: 50 * MiB, low: 10 * MiB } }],
    maintenance: [{ name: 'backup', days: ['sun'], from: '01:00', to: '03:00', classes: ['foreground'] }],
  });
});

test('an empty file is the default', () => {
  expect(parsePolicy('')).toEqual(DEFAULT_POLICY);
  expect(parsePolicy('# nothing but a comment\n')).toEqual(DEFAULT_POLICY);
});

test('what is not said is as in the default', () => {
  expect(parsePolicy('slice = "2min"\n[rates]\nlow = "8Mbit/s"')).toEqual({
    ...DEFAULT_POLICY,
    sliceMs: 120_000,
    rates: { ...DEFAULT_POLICY.rates, low: 1_000_000 },
  });
});

describe('windows', () => {
  test('days may be ranges, over the end of the week too; without any it is every day', () => {
    const days = (list: string): readonly string[] | undefined =>
      parsePolicy(`[[maintenance]]\nname="x"\nfrom="22:00"\nto="24:00"\nclasses=[]\n${list}`).maintenance[0]?.days;
    expect(days('days = ["mon-wed", "sat"]')).toEqual(['mon', 'tue', 'wed', 'sat']);
    expect(days('days = ["sat-mon", "sun"]')).toEqual(['mon', 'sat', 'sun']);
    expect(days('')).toEqual(EVERY_DAY);
  });

  test('rates may be a table of their own, and stand in the order of the file', () => {
    const { windows } = parsePolicy(`
      [[windows]]
      name = "night"
      from = "22:00"
      to = "06:00"
      [windows.rates]
      all = 0
      [[windows]]
      name = "day"
      from = "00:00"
      to = "24:00"
      rates.all = "1MiB"
    `);
    expect(windows).toEqual([
      { name: 'night', days: EVERY_DAY, from: '22:00', to: '06:00', rates: { all: 0 } },
      { name: 'day', days: EVERY_DAY, from: '00:00', to: '00:00', rates: { all: MiB } },
    ]);
  });
});

describe('a policy that is not understood is refused with line and column, the key, and what was expected', () => {
  const window = '[[windows]]\nname = "x"\nfrom = "08:00"\nto = "18:00"\n';
  const maintenance = '[[maintenance]]\nname = "x"\nfrom = "08:00"\nto = "18:00"\n';
  test.each([
    ['jobs_at_once = ', '1:16: no TOML: invalid value', 'in quotes'],
    ['slice = 30s', '1:11: no TOML: illegal character in numeric literal', 'slice = "30s"'],
    ['jobs_at_once = 1\njobs_at_once = 2', '2:1: no TOML', ''],
    ['jobs = 4', '1:1: jobs is no setting', 'jobs_at_once, foreground_at_once'],
    ['# …\n\n  jobs_at_once = "4"', '3:18: jobs_at_once is "4"', 'a whole number from 1 to 1000'],
    ['jobs_at_once = 0', '1:16: jobs_at_once is 0', 'a whole number from 1 to 1000'],
    ['jobs_at_once = 1.5', '1:16: jobs_at_once is 1.5', 'a whole number'],
    ['jobs_at_once = nan', '1:16: jobs_at_once is NaN', 'a whole number'],
    ['low_share_percent = 60', '1:21: low_share_percent is 60', 'a whole number from 0 to 25'],
    ['slice = "30"', '1:9: slice is "30"', 'a time such as "30s"'],
    ['slice = "0s"', '1:9: slice is "0s"', 'a time such as "30s"'],
    ['slice = 30', '1:9: slice is 30', 'a time such as "30s"'],
    ['inactivity = "90 moons"', '1:14: inactivity is "90 moons"', 'a time such as "90d", or 0: never'],
    ['inactivity_deletes_partial = "no"', '1:30: inactivity_deletes_partial is "no"', 'true or false'],
    ['history = 2026-01-01', '1:11: history is "2026', 'a time such as "7d"'],
    ['[rates]\nall = "50MiBB"', '2:7: rates.all is "50MiBB"', 'a rate such as "50MiB/s"'],
    ['[rates]\nall = 50', '2:7: rates.all is 50', 'a rate such as "50MiB/s"'],
    ['rates = { low = "1M", height = 1 }', '1:23: rates.height is no setting', 'all, foreground, high'],
    ['rates = 4', '1:9: rates is 4', 'a table'],
    ['windows = "night"', '1:11: windows is "night"', 'at most 100 tables, each under [[windows]]'],
    ['windows = [1]', '1:12: windows 1 is 1', 'a table'],
    [window, '1:1: windows 1 has no rates', 'Add rates: a table such as { all = "50MiB/s" }'],
    [`${window}rates = { all = "x" }`, '5:17: windows 1: rates.all is "x"', 'a rate'],
    [`${window}rates = {}\nday = ["mon"]`, '6:1: windows 1: day is no setting', 'name, days, from, to, zone, rates'],
    [`${window}rates = {}\ndays = ["mo"]`, '6:8: windows 1: days is ["mo"]', 'such as ["mon-fri", "sun"]'],
    [`${window}rates = {}\ndays = []`, '6:8: windows 1: days is []', 'a list of days'],
    [`${window}rates = {}\nzone = "Berlin"`, '6:8: windows 1: zone is "Berlin"', '"Europe/Berlin" or "UTC"'],
    ['[[windows]]\nname = "x"\nfrom = "8:00"\nto = "18:00"\nrates = {}', '3:8: windows 1: from is "8:00"', '"24:00"'],
    ['[[windows]]\nname = "x"\nfrom = "08:00"\nto = "18:60"\nrates = {}', '4:6: windows 1: to is "18:60"', '"24:00"'],
    ['[[windows]]\nname = " "\nfrom = "08:00"\nto = "18:00"\nrates = {}', '2:8: windows 1: name is " "', 'a text'],
    ['[[windows]]\nname = "x"\nto = "18:00"\nrates = {}', '1:1: windows 1 has no from', 'Add from: a time of day'],
    [maintenance, '1:1: maintenance 1 has no classes', 'Add classes: a list of "foreground"'],
    [`${maintenance}classes = ["all"]`, '5:11: maintenance 1: classes is ["all"]', 'a list of "foreground"'],
    [`${window}rates = {}\n\n${window}rates = { all = 1 }`, '11:17: windows 2: rates.all is 1', 'a rate'],
    ['__proto__ = 1', '1:1: no TOML', ''],
  ])('%j', (text, message, hint) => {
    const error = refusal(text);
    expect(error.code).toBe('E_POLICY');
    expect(error.message).toContain(`blockferry.toml:${message}`);
    expect(error.hint).toContain(hint);
  });

  test('a long value is shown in part, and the name of the file is the one that was given', () => {
    const error = (() => {
      try {
        return parsePolicy(`slice = "${'x'.repeat(5000)}"`, '/etc/rules.toml');
      } catch (thrown) {
        return thrown as TransferError;
      }
    })();
    expect(error).toMatchObject({ message: expect.stringMatching(/^\/etc\/rules\.toml:1:9: slice is "x{70,80}…$/) });
  });
});

test('whatever the text is, it is read or refused as a policy, and nothing else happens', () => {
  const pieces = [
    '[rates]\n',
    '[[windows]]\n',
    'slice = ',
    '"30s"',
    'all = ',
    '"',
    "'''",
    '"""',
    '{',
    '}',
    '[',
    ']',
    '\n',
  ];
  const text = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 6 })), { maxLength: 12 });
  fc.assert(
    fc.property(text, (parts) => {
      try {
        parsePolicy(parts.join(''));
      } catch (thrown) {
        expect(thrown).toMatchObject({
          code: 'E_POLICY',
          message: expect.stringMatching(/^blockferry\.toml:\d+:\d+: /),
        });
      }
    }),
    { numRuns: 2000 },
  );
});
