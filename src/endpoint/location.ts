/** What a user types as source or target, understood: anything without a known scheme is a path. */

import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';

/** @throws TransferError E_USAGE for an empty location or a URL that cannot be read. */
export function parseLocation(text: string): Location {
  if (text === '') throw new TransferError('E_USAGE', 'a location is empty', { hint: 'Give a path or a URL.' });
  if (text === '-') {
    const hint = 'Standard input and output cannot be resumed; a file of that name is written as ./-.';
    throw new TransferError('E_USAGE', '- is not a location', { hint });
  }
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === 'null' || scheme === 'zero' || scheme === 'memory') return { scheme, text, name: text };
  if (scheme === undefined || !text.toLowerCase().startsWith(`${scheme}://`))
    return { scheme: 'file', text, name: showPath(text) };
  if (scheme === 'file') return fileUrl(text);
  return { scheme, text, name: redactedUrl(text) };
}

function fileUrl(text: string): Location {
  const url = readUrl(text);
  const path = decoded(url.pathname);
  if (url.hostname !== '' && url.hostname !== 'localhost') {
    throw new TransferError('E_USAGE', `${text}: a file URL names a file of this machine`, {
      hint: 'Leave the host out.',
    });
  }
  return { scheme: 'file', text: path, name: showPath(path) };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (thrown) {
    const hint = 'Write % as %25, or give the path without file://.';
    throw new TransferError('E_USAGE', `file://${path}: cannot be read as a URL`, { hint, cause: thrown });
  }
}

/**
 * A URL fit for logs, journals and errors: no password, no user, no query values (presigned URLs keep secrets there).
 */
export function redactedUrl(text: string): string {
  const url = readUrl(text);
  // A part without "=" may be the secret itself.
  const shown = (part: string): string => (part.includes('=') ? `${part.slice(0, part.indexOf('='))}=…` : '…');
  const query = url.search === '' ? '' : `?${url.search.slice(1).split('&').map(shown).join('&')}`;
  return `${url.protocol}//${url.host}${url.pathname}${query}`;
}

function readUrl(text: string): URL {
  if (!URL.canParse(text)) {
    throw new TransferError('E_USAGE', 'a location looks like a URL but cannot be read as one', {
      hint: 'Check its spelling; a path that begins so can be written as ./name.',
    });
  }
  // A password would be cut there, and its beginning taken for a port, and shown.
  if (/^[^:/]+:\/\/[^/?#]*[?#].*@/s.test(text)) {
    throw new TransferError('E_USAGE', 'a location has a ? or a # right behind its host, and an @ after it', {
      hint: 'Write a ? or # of a user or a password as %3F or %23, and else a / behind the host.',
    });
  }
  return new URL(text);
}
