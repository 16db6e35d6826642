/** Parent locators: what is read, what is written, and what is refused. */
import { describe, expect, test } from 'vitest';
import { decodeParentLocator, encodeParentLocator } from '../../../../src/disk/vhdx/parent-locator.js';

const identity = '83ed0ec3-24c8-49a6-a959-5e4bf1288bfb';
const TYPE = Buffer.from('b7ef4ab09ed1814ab78925b8e9445913', 'hex');
const spot = { name: 'child.vhdx', what: 'parent locator', at: 0 };

/** By the layout of [MS-VHDX] 2.6.2.6, apart from the product's own writer. */
function locator(pairs: readonly (readonly [string, string])[], type = TYPE): Buffer {
  const head = Buffer.alloc(20 + pairs.length * 12);
  head.set(type);
  head.writeUInt16LE(pairs.length, 18);
  const texts: Buffer[] = [];
  let end = head.length;
  pairs.forEach(([key, value], index) => {
    const [first, second] = [Buffer.from(key, 'utf16le'), Buffer.from(value, 'utf16le')];
    head.writeUInt32LE(end, 20 + index * 12);
    head.writeUInt32LE(end + first.length, 24 + index * 12);
    head.writeUInt16LE(first.length, 28 + index * 12);
    head.writeUInt16LE(second.length, 30 + index * 12);
    texts.push(first, second);
    end += first.length + second.length;
  });
  return Buffer.concat([head, ...texts]);
}

test('paths come in the order in which they are to be tried, with slashes', () => {
  const pairs = [
    ['absolute_win32_path', '\\\\?\\d:\\path2\\sub3\\parent.vhdx'],
    ['volume_path', '\\\\?\\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\\path2\\parent.vhdx'],
    ['parent_linkage', `{${identity.toUpperCase()}}`],
    ['relative_path', '..\\..\\path2\\sub3\\parent.vhdx'],
    ['something_else', 'x'],
  ] as const;
  expect(decodeParentLocator(locator(pairs), spot)).toEqual({
    format: 'vhdx',
    identity,
    paths: [
      { kind: 'relative', path: '../../path2/sub3/parent.vhdx' },
      { kind: 'absolute', path: 'Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}/path2/parent.vhdx' },
      { kind: 'absolute', path: 'd:/path2/sub3/parent.vhdx' },
    ],
  });
});

test('a second identity is told, since the parent may have either', () => {
  const other = identity.replace('8', '9');
  const pairs = [
    ['parent_linkage', `{${identity}}`],
    ['parent_linkage2', `{${other}}`],
    ['relative_path', 'p'],
  ] as const;
  expect(decodeParentLocator(locator(pairs), spot)).toMatchObject({ identity, otherIdentity: other });
});

test('what is written is read again, paths of this system and letters of all scripts included', () => {
  const link = {
    format: 'vhdx' as const,
    identity,
    paths: [
      { kind: 'relative' as const, path: '../Бэкап/基盤.vhdx' },
      { kind: 'absolute' as const, path: '/mnt/vm/基盤.vhdx' },
    ],
  };
  expect(decodeParentLocator(encodeParentLocator(link, 'child'), spot)).toEqual(link);
});

const linkage = ['parent_linkage', `{${identity}}`] as const;
const path = ['relative_path', 'parent.vhdx'] as const;

describe('a locator is refused', () => {
  test.each([
    ['of another type', locator([linkage, path], Buffer.alloc(16, 1)), /a locator of type 01010101/],
    ['without an identity', locator([path]), /parent_linkage with a GUID, found none/],
    ['whose identity is none', locator([['parent_linkage', '{83ed0ec3}'], path]), /parent_linkage with a GUID/],
    ['without a path', locator([linkage]), /a path of the parent, found none/],
    ['that says a thing twice', locator([linkage, path, path]), /twice/],
    ['with a NUL in a path', locator([linkage, ['relative_path', 'base\0.vhdx']]), /without NUL/],
    ['that is cut short', locator([linkage, path]).subarray(0, 40), /entries in 40 bytes/],
    ['that is shorter than its header', locator([]).subarray(0, 19), /at least 20 bytes/],
    ['whose texts lie outside', locator([linkage, path]).subarray(0, -2), /UTF-16 text inside/],
  ])('%s', (_, item, message) => {
    expect(() => decodeParentLocator(Buffer.from(item), spot)).toThrow(message);
  });

  test('whose many entries all point to one large text', () => {
    const item = Buffer.alloc(20 + 5000 * 12 + 60_000, 'a\0');
    item.fill(0, 0, 20 + 5000 * 12);
    item.set(TYPE);
    item.writeUInt16LE(5000, 18);
    for (let index = 0; index < 5000; index++) {
      const at = 20 + index * 12;
      item.writeUInt32LE(20 + 5000 * 12, at);
      item.writeUInt32LE(20 + 5000 * 12, at + 4);
      item.writeUInt16LE(2 * (index + 1), at + 8);
      item.writeUInt16LE(60_000, at + 10);
    }
    expect(() => decodeParentLocator(item, spot)).toThrow(/over one another/);
  });

  test('when it is to be written for a parent that is no VHDX, or has no identity or path', () => {
    const link = { format: 'vhdx' as const, identity, paths: [{ kind: 'relative' as const, path: 'p' }] };
    expect(() => encodeParentLocator({ ...link, format: 'vhd' }, 'c')).toThrow(/a VHDX as the parent, found vhd/);
    expect(() => encodeParentLocator({ ...link, identity: 'no' }, 'c')).toThrow(/a GUID as identity/);
    expect(() => encodeParentLocator({ ...link, paths: [] }, 'c')).toThrow(/a path of the parent/);
    const long = { ...link, paths: [{ kind: 'relative' as const, path: 'a'.repeat(32_768) }] };
    expect(() => encodeParentLocator(long, 'c')).toThrow(/32767 characters/);
  });
});
