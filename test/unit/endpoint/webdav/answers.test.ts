import { expect, test } from 'vitest';
import { KiB } from '../../../../src/core/units.js';
import { httpTargets } from '../../../../src/endpoint/http-put.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import type { EndpointScheme } from '../../../../src/endpoint/registry.js';
import { webdavScheme } from '../../../../src/endpoint/webdav.js';
import { TransferError } from '../../../../src/index.js';
import { failureOf } from '../../../support/copying.js';
import { bytes, isProbe, rig } from '../../../support/dav-copy.js';
import { multistatus, say } from '../../../support/dav-server.js';
import { never } from '../../../support/reading.js';

const doctype = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>';
const bomb = `<?xml version="1.0"?>${doctype}<D:multistatus xmlns:D="DAV:">&b;</D:multistatus>`;

test.each([
  ['entities', bomb],
  ['thousands of levels', `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`],
  ['no XML', '{"files": []}'],
  ['an element that never ends', '<D:multistatus xmlns:D="DAV:"><D:response>'],
  ['another namespace', multistatus('/disk.img', '').replace('"DAV:"', '"EVIL:"')],
  ['no response', '<D:multistatus xmlns:D="DAV:"></D:multistatus>'],
  ['names that objects have', '<__proto__ xmlns="DAV:"><constructor/></__proto__>'],
  ['more than anybody would say', `<D:multistatus xmlns:D="DAV:">${' '.repeat(300 * KiB)}</D:multistatus>`],
])('a list of properties with %s is refused', async (_what, xml) => {
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PROPFIND' ? say(answer, 207, xml) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_PROTOCOL' });
  expect(dav.files.size).toBe(0);
});

test('a folder of the target that is not there is told before anything is written', async () => {
  const { dav, copy } = await rig((request, answer) => (request.path === '/sub/' ? say(answer, 404) : undefined));
  const error = await failureOf(copy({ target: `${dav.url}/sub/disk.img` }));
  expect(error).toMatchObject({ code: 'E_TARGET_FOLDER', hint: expect.stringContaining('folder') });
  expect(dav.asked.filter(({ method }) => method === 'PUT')).toEqual([]);
});

test('a quota that is too small is told before anything is written', async () => {
  const quota =
    '<D:resourcetype><D:collection/></D:resourcetype><D:quota-available-bytes>1000</D:quota-available-bytes>';
  const { dav, copy } = await rig((request, answer) =>
    request.method === 'PROPFIND' && request.path === '/' ? say(answer, 207, multistatus('/', quota)) : undefined,
  );
  expect(await failureOf(copy())).toMatchObject({ code: 'E_NO_SPACE' });
  expect(dav.asked.some(({ method, path }) => method === 'PUT' && !isProbe(path))).toBe(false);
});

test('a server that does not know PROPFIND is no WebDAV server', async () => {
  const { copy } = await rig((request, answer) => (request.method === 'PROPFIND' ? say(answer, 405) : undefined));
  expect(await failureOf(copy())).toMatchObject({ code: 'E_PROTOCOL', message: expect.stringContaining('PROPFIND') });
});

test('whoever only asks for the state of a copy writes nothing to the server', async () => {
  const { dav } = await rig();
  const location = { scheme: 'webdav', text: `${dav.url}/disk.img`, name: 'disk' };
  const site = await webdavScheme().locateTarget?.(location, '');
  expect(site?.existing).toBeUndefined();
  expect(dav.asked.every(({ method }) => method === 'PROPFIND')).toBe(true);
});

test('user and password of a location are sent, and said nowhere', async () => {
  const { dav, copy } = await rig((request, answer) =>
    request.headers.authorization === `Basic ${Buffer.from('me:pa ss').toString('base64')}`
      ? undefined
      : say(answer, 401),
  );
  const target = dav.url.replace('//', '//me:pa%20ss@');
  await copy({ target: `${target}/disk.img` });
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  const error = await failureOf(copy({ target: `${target.replace('pa%20ss', 'wrong')}/other.img` }));
  expect(error.code).toBe('E_AUTH');
  expect(JSON.stringify(error.toJSON())).not.toMatch(/wrong|me:/);
  expect(TransferError.from(error).hint).toContain('netrc');
});

test('a server that wants digest authentication is told from one that refuses a password', async () => {
  const { copy } = await rig((_request, answer) => say(answer, 401, '', { 'www-authenticate': 'Digest realm="x"' }));
  expect(await failureOf(copy())).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining('digest') });
});

test('what the journal keeps of a target has no signature of its URL', async () => {
  const { dav } = await rig();
  const targets = httpTargets() as Required<EndpointScheme>;
  const location = parseLocation(`${dav.http}/disk.img?signature=secret`);
  const site = await targets.locateTarget(location, 'disk.img');
  const prepared = await targets.prepareTarget(site.ref, { size: 4, partial: 'create', sync: true });
  const target = await targets.attachTarget(prepared.ref);
  const writer = target.openChunk({ offset: 0, length: 4 }, never);
  await writer.write(Buffer.from('four'));
  await writer.finish(new Uint8Array(8));
  const mark = await target.mark();
  expect(JSON.stringify([site.name, site.journalPath, prepared.identity, mark])).not.toContain('secret');
  expect(await targets.finishCommit(site.ref, mark, { overwrite: false, sync: true })).toBe(false);
});

test('what a URL would cut off or leave out is asked about, for what is left would be another file', async () => {
  const { dav, copy } = await rig();
  const error = await failureOf(copy({ target: `${dav.url}/disk#1.img` }));
  expect(error).toMatchObject({ code: 'E_USAGE', hint: expect.stringContaining('%23') });
  expect(await failureOf(copy({ target: `${dav.http}/disk.img#` }))).toMatchObject({ code: 'E_USAGE' });
  for (const name of ['a\\b', 'disk.img ', 'di\tsk.img']) {
    expect(await failureOf(copy({ target: `${dav.url}/${name}` }))).toMatchObject({ code: 'E_USAGE' });
  }
  expect(dav.asked).toEqual([]);
});

test('a query is no place for secrets, nor for what nobody knows', async () => {
  const { dav, copy } = await rig();
  expect((await failureOf(copy({ target: `${dav.url}/disk.img?token=x` }))).code).toBe('E_USAGE');
  expect((await failureOf(copy({ target: `${dav.url}/disk.img?upload=never` }))).code).toBe('E_USAGE');
});
