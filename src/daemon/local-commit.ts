/** A commit as a client asks for it, and as it is made here. */
import type { FileAttributes } from '../core/endpoint.js';
import type { CallRequest } from '../core/peer-wire.js';
import type { CommitRequest } from '../core/target.js';

/**
 * What a client may have kept: permissions and times, and attributes of the user's own kind. Owners are other people
 * on another host, and a client must not make programs that run as somebody else here.
 */
export function localCommit(commit: CallRequest<'commit'>['commit']): { request: CommitRequest; sentences: string[] } {
  const { overwrite, sync, mode, attributes } = commit;
  if (!attributes)
    return { request: { overwrite, sync, ...(mode !== undefined && { mode: mode & 0o777 }) }, sentences: [] };
  const all = attributes.extended ?? [];
  const own = all.filter(([name]) => name.startsWith('user.'));
  const sentences = ['--preserve: the owner is not carried to another host'];
  if (attributes.mode > 0o777) sentences.push('--preserve: special permission bits are not carried to another host');
  if (own.length < all.length)
    sentences.push('--preserve: of the extended attributes only those of users are carried to another host');
  const kept: FileAttributes = {
    ...attributes,
    ...{ mode: attributes.mode & 0o777, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    extended: own.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const),
  };
  return { request: { overwrite, sync, attributes: kept }, sentences };
}
