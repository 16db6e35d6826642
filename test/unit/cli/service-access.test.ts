import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { absolute, absolutePrefix, filesOf } from '../../../src/cli/service-access.js';
import type { TransferError } from '../../../src/core/errors.js';

const here = resolve('.');

test.each([
  ['disk.img', join(here, 'disk.img')],
  ['../disk.img', resolve('..', 'disk.img')],
  ['backup/', `${join(here, 'backup')}/`],
  ['/', '/'],
  ['/backup/', '/backup/'],
  ['a:b', join(here, 'a:b')],
  ['file:///vms/a%20b', '/vms/a b'],
  ['zero:1GiB', 'zero:1GiB'],
  ['https://host/a?ca=own', 'https://host/a?ca=own'],
  ['sftp://host/a?identity=my%20key', `sftp://host/a?identity=${join(here, 'my%20key')}`],
  ['sftp://host/a?identity=~/key', 'sftp://host/a?identity=~/key'],
  ['peer://host/NAME/a?pin=sha256:00&ca=ca.pem', `peer://host/NAME/a?pin=sha256:00&ca=${join(here, 'ca.pem')}`],
  ['peer://host/NAME/a?ca=/etc/ca.pem', 'peer://host/NAME/a?ca=/etc/ca.pem'],
])('%s means %s to a service that has a folder of its own', (typed, meant) => {
  expect(absolute(typed)).toBe(meant);
});

test('the bytes of a name that is no UTF-8 stay what they are', () => {
  expect(JSON.parse(JSON.stringify(absolute('a\udcff')))).toBe(join(here, 'a\udcff'));
});

test('a prefix need not be a location', () => {
  expect(absolutePrefix('https://')).toBe('https://');
  expect(absolutePrefix('old/')).toBe(`${join(here, 'old')}/`);
});

test.each([[[]], [['a']], [['a', 'b', 'c']], [['a', '']], [['-', 'b']], [['https://', 'b']]])(
  '%j is no list of files',
  (typed) => {
    const refused = (): unknown => filesOf(typed);
    expect(refused).toThrow(expect.objectContaining({ code: 'E_USAGE' } satisfies Partial<TransferError>));
  },
);
