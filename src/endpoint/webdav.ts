/**
 * WebDAV, read and written: what is there is asked by PROPFIND, and bytes go as over http, which `webdav:` is inside;
 * `webdavs:` is https.
 */
import type { Location, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { NEVER } from '../core/stop.js';
import { httpAccess } from './http/access.js';
import { attachHttpSource, openHttpSource } from './http.js';
import { httpTargets } from './http-put.js';
import { locationOptions } from './location-options.js';
import type { EndpointScheme } from './registry.js';
import { urlOf, withoutQuery } from './upload/names.js';
import { UploadPlace } from './upload/place.js';

/** @param threads among which the connections are divided */
export function webdavScheme(threads = 1): EndpointScheme {
  return {
    ...httpTargets(threads),
    openSource: (location) => openWebdavSource(location, threads),
    attachSource: (ref) => attachHttpSource(ref, { threads }),
  };
}

/** @throws TransferError E_SOURCE_MISSING, E_SOURCE_KIND for a folder, and what the http source throws */
async function openWebdavSource(location: Location, threads: number): Promise<Source> {
  const { url, bare } = urlOf(location.text);
  locationOptions(bare, ['upload']);
  const place = new UploadPlace(await httpAccess(url, location.http), 'webdav');
  const plain = withoutQuery(bare);
  const found = await place.find(plain, NEVER);
  const fail = (code: 'E_SOURCE_MISSING' | 'E_SOURCE_KIND', what: string): TransferError =>
    new TransferError(code, `${place.nameOf(plain)}: ${what}`, { hint: 'Check the URL.' });
  if (found.kind === 'nothing') throw fail('E_SOURCE_MISSING', 'the server has no such file');
  if (found.kind === 'folder') throw fail('E_SOURCE_KIND', 'it is a folder, and a copy over WebDAV is of one file');
  const http = { ...location, scheme: plain.protocol.slice(0, -1), text: withoutQuery(url).href };
  return openHttpSource(http, { threads });
}
