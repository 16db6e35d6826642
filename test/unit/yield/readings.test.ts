import { describe, expect, test } from 'vitest';
import {
  deviceNumber,
  parseCgroup,
  parseDeviceStat,
  parseMountSource,
  parseOwnRead,
  parsePressure,
} from '../../../src/yield/readings.js';

const STAT = [
  ' 1745618   476597 328925130 13376228  7948254  2756340 4054365008 37497400       25',
  '  2813732 52367192  3209937     2615 3854310176  1197367  1806412   296196\n',
].join('');

describe('the statistics of a device', () => {
  test('are read as the kernel writes them, in sectors of 512 bytes', () => {
    expect(parseDeviceStat(STAT)).toEqual({
      ...{ reads: 1745618, readBytes: 328925130 * 512, writes: 7948254, writtenBytes: 4054365008 * 512 },
    });
  });

  test('of an old kernel, with fewer fields, are read too', () => {
    expect(parseDeviceStat('1 2 3 4 5 6 7 8 9 10 11')).toMatchObject({ reads: 1, readBytes: 1536, writes: 5 });
  });

  test.each(['', '\n', '1 2 3', 'reads 1 2 3 4 5 6 7', '-1 0 0 0 0 0 0', '1e9 0 0 0 0 0 0', '0x10 0 0 0 0 0 0 0'])(
    'that cannot be are none: %j',
    (text) => {
      expect(parseDeviceStat(text)).toBeUndefined();
    },
  );

  test('of any length end soon', () => {
    expect(parseDeviceStat('9'.repeat(10_000_000))).toBeUndefined();
    expect(parseDeviceStat(' '.repeat(10_000_000))).toBeUndefined();
  });
});

describe('the pressure', () => {
  const text =
    'some avg10=0.00 avg60=0.96 avg300=1.24 total=1549075118\nfull avg10=0.00 avg60=0.95 avg300=1.06 total=452907659\n';

  test('is the time in which some task was stalled', () => {
    expect(parsePressure(text)).toBe(1549075118);
  });

  test.each([
    '',
    'full avg10=0.00 total=5\n',
    'some avg10=0.00 avg60=0.00 avg300=0.00',
    'some total=-4\n',
    'some total=x',
  ])('that cannot be is none: %j', (hostile) => {
    expect(parsePressure(hostile)).toBeUndefined();
  });
});

test('what this process had read from storage is told apart from what it read from the cache', () => {
  const io = 'rchar: 6976\nwchar: 0\nsyscr: 10\nsyscw: 0\nread_bytes: 4096\nwrite_bytes: 0\ncancelled_write_bytes: 0\n';
  expect(parseOwnRead(io)).toBe(4096);
  expect(parseOwnRead('rchar: 6976\n')).toBeUndefined();
  expect(parseOwnRead('read_bytes: many\n')).toBeUndefined();
});

test('the group of a process is that of the second version, and there may be none', () => {
  expect(parseCgroup('12:blkio:/a\n0::/system.slice/x.service\n')).toBe('/system.slice/x.service');
  expect(parseCgroup('12:blkio:/a\n')).toBeUndefined();
});

test('a mount without a device of its own number is known by what was mounted', () => {
  const mounts = [
    '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
    '40 22 0:45 /@home /home rw shared:9 - btrfs /dev/sdb1 rw,subvol=/@home',
    '41 22 0:46 / /x rw - overlay overlay rw',
    'torn line',
  ].join('\n');
  expect(parseMountSource(mounts, '0:45')).toBe('/dev/sdb1');
  expect(parseMountSource(mounts, '0:46')).toBeUndefined();
  expect(parseMountSource(mounts, '9:9')).toBeUndefined();
});

test.each([
  [65024n, '254:0'],
  [0x801n, '8:1'],
  [0x1003_1205n, '786:65541'],
] as const)('a device number is told as the kernel writes it: %s', (dev, text) => {
  expect(deviceNumber(dev)).toBe(text);
});
