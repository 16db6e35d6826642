/** Names and URLs of what is written to a web server: the file, its partial data beside it, and its folder. */
import { randomBytes } from 'node:crypto';
import { TransferError } from '../../core/errors.js';
import { hiddenName } from '../../platform/hidden-name.js';
import { redactedUrl } from '../location.js';
import { PART_SUFFIX } from '../part-names.js';
import { nameOfSegment, segmentOfName } from '../url-path.js';

/** What a URL leaves out or cuts off, so that what is left would be the name of another file. */
const MEANS_ELSE = /[#\\\t\r\n]|[\0-\x20]$/;

/** For people: a WebDAV location is shown as it was given, and not as the URL that is asked. */
export function nameOfUrl(url: URL, speaks: 'webdav' | 'http'): string {
  const name = redactedUrl(url.href);
  return speaks === 'webdav' ? name.replace(/^http/, 'webdav') : name;
}

/** The URL of a location, without user and password; `webdav:` is asked over http, `webdavs:` over https. */
export function urlOf(text: string): { readonly url: URL; readonly bare: URL } {
  const http = text.replace(/^webdav(s?):/i, 'http$1:');
  const url = URL.canParse(http) ? new URL(http) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TransferError('E_USAGE', 'the location is no URL of a file on a web server', {
      hint: 'Write it as webdavs://host/path; special characters in user name or password as %XX.',
    });
  }
  if (MEANS_ELSE.test(text)) {
    throw new TransferError('E_USAGE', 'the location has a character that is no part of a name in a URL', {
      hint: 'Write # as %23, \\ as %5C, a tab as %09, and a space at the end as %20. Nothing was changed.',
    });
  }
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return { url, bare };
}

/** The folder that a file is in. */
export function folderOf(url: URL): URL {
  return new URL('.', withoutQuery(url));
}

export function withoutQuery(url: URL): URL {
  const plain = new URL(url);
  plain.search = '';
  return plain;
}

/** The name of a file, byte for byte as the server has it. @throws TransferError E_USAGE where it cannot be one */
export function fileNameOf(url: URL): string {
  const segment = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  return assertName(nameOfSegment(segment), redactedUrl(url.href));
}

/** A file in a folder. The name may come from another server: it must not lead anywhere else. */
export function childOf(folder: URL, name: string): URL {
  return new URL(segmentOfName(assertName(name, redactedUrl(folder.href))), folder);
}

/** @param tag of the state folder that keeps the journal: no other one's copy writes to this name */
export function partOf(url: URL, tag: string): URL {
  return childOf(folderOf(url), hiddenName(fileNameOf(url), `.${tag}${PART_SUFFIX}`));
}

/** A name beside the file that nobody else has. */
export function scratchBeside(url: URL): URL {
  return childOf(folderOf(url), hiddenName(fileNameOf(url), `.${randomBytes(6).toString('hex')}.blockferry-probe`));
}

function assertName(name: string, where: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw new TransferError('E_USAGE', `${where}: that gives no name that a file could have there`, {
    hint: 'Give the target a file name. Nothing was changed.',
  });
}
