import { afterEach, expect, test, vi } from 'vitest';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { nameOf, placeInside, placeOf, urlOf } from '../../../../src/endpoint/s3/place.js';
import { codeOf } from '../../../support/reading.js';

for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3'])
  vi.stubEnv(name, undefined);
afterEach(() => {
  for (const name of ['AWS_REGION', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']) vi.stubEnv(name, undefined);
});

const place = (text: string) => placeOf(parseLocation(text));
const url = (text: string): string => urlOf(place(text)).href;

test.each([
  ['s3://vms/a/disk.vhd', 'https://vms.s3.us-east-1.amazonaws.com/a/disk.vhd'],
  ['s3://vms/disk?region=eu-west-1', 'https://vms.s3.eu-west-1.amazonaws.com/disk'],
  ['s3://vms/disk?region=cn-north-1', 'https://vms.s3.cn-north-1.amazonaws.com.cn/disk'],
  ['s3://with.dots/disk', 'https://s3.us-east-1.amazonaws.com/with.dots/disk'],
  ['s3://vms/disk?style=path', 'https://s3.us-east-1.amazonaws.com/vms/disk'],
  ['s3://vms/disk?endpoint=rgw.example:7480', 'https://rgw.example:7480/vms/disk'],
  ['s3://vms/disk?endpoint=http://rgw.example/base/', 'http://rgw.example/base/vms/disk'],
  ['s3://vms/disk?endpoint=http://rgw.example:7480&style=host', 'http://vms.rgw.example:7480/disk'],
])('%s is asked for at %s', (text, expected) => {
  expect(url(text)).toBe(expected);
});

test.each([
  ['s3://vms/a b+c', '/vms/a%20b%2Bc'],
  ['s3://vms/a%20b', '/vms/a%20b'],
  ['s3://vms/100%25', '/vms/100%25'],
  ["s3://vms/it's(1)*!", '/vms/it%27s%281%29%2A%21'],
  ['s3://vms/ü', '/vms/%C3%BC'],
  ['s3://vms//a//b', '/vms//a//b'],
  ['s3://vms/what%3F', '/vms/what%3F'],
])('the key of %s is spelt %s, as it is signed', (text, expected) => {
  const asked = new URL(url(`${text}?endpoint=http://rgw.example`));
  expect(asked.pathname).toBe(expected);
});

test('the environment says what the location leaves open, and the location wins', () => {
  vi.stubEnv('AWS_REGION', 'eu-central-1');
  expect(place('s3://vms/disk').region).toBe('eu-central-1');
  expect(place('s3://vms/disk?region=us-west-2').region).toBe('us-west-2');
  vi.stubEnv('AWS_ENDPOINT_URL', 'http://all.example');
  expect(place('s3://vms/disk').endpoint).toBe('http://all.example');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', 'http://s3.example');
  expect(place('s3://vms/disk').endpoint).toBe('http://s3.example');
  expect(place('s3://vms/disk?endpoint=http://own.example').endpoint).toBe('http://own.example');
});

test('a variable that is empty says nothing', () => {
  vi.stubEnv('AWS_REGION', '');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', '');
  vi.stubEnv('AWS_ENDPOINT_URL', 'http://all.example');
  expect(place('s3://vms/disk')).toMatchObject({ region: 'us-east-1', endpoint: 'http://all.example' });
});

test('a location without a key, or with one that ends with a slash, is a folder', () => {
  expect(nameOf(placeInside(place('s3://vms'), 'disk'))).toBe('s3://vms/disk');
  expect(nameOf(placeInside(place('s3://vms/'), 'disk'))).toBe('s3://vms/disk');
  expect(nameOf(placeInside(place('s3://vms/a/'), 'disk'))).toBe('s3://vms/a/disk');
  expect(nameOf(placeInside(place('s3://vms/a'), 'disk'))).toBe('s3://vms/a');
});

test.each([
  's3://vms/../other/disk',
  's3://vms/a/%2E%2E/disk',
  's3://vms/./disk',
  's3://vms/100%',
  's3://vms/disk#1',
  's3://key:secret@vms/disk',
  's3://vms:80/disk',
  's3://v/disk',
  's3:///disk',
  `s3://vms/${'x'.repeat(1025)}`,
  's3://vms/disk?regoin=eu-west-1',
  's3://vms/disk?region=eu-west-1&region=eu-west-2',
  's3://vms/disk?region=a%2Fb',
  's3://vms/disk?style=virtual',
  's3://With_Capitals/disk?style=host',
  's3://vms/disk?style=host&endpoint=http://127.0.0.1:7480',
  's3://vms/disk?style=host&endpoint=http://[::1]:7480',
  's3://vms/disk?endpoint=ftp://host',
  's3://vms/disk?endpoint=http://user:secret@host',
  's3://vms/disk?endpoint=http://host/%3Fx?y',
  's3://vms/disk?anonymous=perhaps',
])('%s is refused, and no secret is repeated', async (text) => {
  expect(await codeOf(() => place(text))).toBe('E_USAGE');
  const said = await Promise.resolve()
    .then(() => place(text))
    .catch((thrown) => `${thrown.message} ${thrown.hint}`);
  expect(said).not.toContain('secret');
});

test('a name inside a folder cannot lead out of it', async () => {
  expect(await codeOf(() => placeInside(place('s3://vms/a/'), '..'))).toBe('E_USAGE');
});
