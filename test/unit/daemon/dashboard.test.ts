import { expect, test } from 'vitest';
import type { TransferError } from '../../../src/core/errors.js';
import { RateHistory } from '../../../src/daemon/dashboard/rate-history.js';
import { segmentsOf, windowWords } from '../../../src/daemon/dashboard/week.js';
import { lineTold, sentence } from '../../../src/daemon/dashboard/words.js';
import { parsePolicy } from '../../../src/service/policy/parse.js';

test('a window that ends on the next day is drawn on both, and that of Sunday on Monday', () => {
  expect(segmentsOf({ days: ['fri', 'sun'], from: '22:30', to: '06:00' })).toEqual([
    { day: 4, from: 1350, to: 1440 },
    { day: 5, from: 0, to: 360 },
    { day: 6, from: 1350, to: 1440 },
    { day: 0, from: 0, to: 360 },
  ]);
});

test('a window until midnight ends with its day, and one from a time to the same time lasts a day', () => {
  expect(segmentsOf({ days: ['mon'], from: '18:00', to: '00:00' })).toEqual([{ day: 0, from: 1080, to: 1440 }]);
  expect(segmentsOf({ days: ['mon'], from: '08:00', to: '08:00' })).toEqual([
    { day: 0, from: 480, to: 1440 },
    { day: 1, from: 0, to: 480 },
  ]);
});

test('a window is told in words', () => {
  const hours = { name: 'w', from: '08:00', to: '18:00' };
  const rates = { all: 50 * 1024 * 1024, low: 0 };
  expect(windowWords({ ...hours, days: ['mon', 'wed'], rates })).toBe(
    'Monday, Wednesday, 08:00 to 18:00 (the machine’s time): all at most 50.0 MiB/s, low: no limit',
  );
  const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
  expect(windowWords({ ...hours, zone: 'Asia/Tokyo', days, classes: [] })).toBe(
    'Every day, 08:00 to 18:00 (Asia/Tokyo): no job runs',
  );
});

test('the rates of ten minutes are kept, and jobs without any left are forgotten', () => {
  const history = new RateHistory();
  history.add(0, new Map([['normal', 1]]));
  history.add(1, new Map([['job', 7]]));
  expect(history.of('job')).toEqual([null, 7]);
  expect(history.of('normal')).toEqual([1, null]);
  for (let second = 2; second < 602; second++) history.add(second, new Map([['normal', second]]));
  expect(history.times).toHaveLength(600);
  expect(history.times[0]).toBe(2);
  expect(history.latest('normal')).toBe(601);
  expect(history.of('job').every((rate) => rate === null)).toBe(true);
});

test('a reason is shown as a sentence, and a name in it is left alone', () => {
  expect(sentence('held back by its limit')).toBe('Held back by its limit.');
  expect(sentence('Done.')).toBe('Done.');
  expect(sentence('vault.example.org does not answer')).toBe('vault.example.org does not answer.');
  expect(sentence('sftp://vault/a: not there')).toBe('sftp://vault/a: not there.');
  expect(sentence('/vm/a: no space is left')).toBe('/vm/a: no space is left.');
  expect(sentence('')).toBe('');
});

test('the line of an error of the policy is found', () => {
  const wrong = (text: string): string => {
    try {
      parsePolicy(text);
    } catch (thrown) {
      return (thrown as TransferError).message;
    }
    return 'nothing is wrong';
  };
  expect(lineTold(wrong('\n\njobs-at-once = = 3\n'))).toBe(3);
  expect(lineTold(wrong('# rules\njobs-at-once = "many"\n'))).toBe(2);
  expect(lineTold('nothing is wrong')).toBeUndefined();
});
