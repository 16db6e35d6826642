/** Another host that a machine goes to, as it is typed: `peer://host[:port][/ROOT/folder]`. */
import { TransferError } from '../core/errors.js';
import { PORT_DEFAULT } from '../core/peer-wire.js';
import type { TargetPaths } from '../migrate/migration-plan.js';
import { type PlaceFlags, placesOf } from './vm-program.js';

interface TargetHost {
  /** As migrations call it. */
  readonly name: string;
  readonly paths: TargetPaths;
}

/** Folders are those of that host: each begins with the name of a root of it. @throws TransferError E_USAGE */
export function targetHost(text: string, { to, ...flags }: PlaceFlags): TargetHost {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!plain || url.protocol !== 'peer:' || url.hostname === '') throw unclear('--to-host', text);
  const said = decodeURIComponent(url.pathname).replace(/\/+$/, '');
  const folder = to ?? (said === '' ? undefined : said);
  const disks = placesOf(flags);
  for (const one of [folder, ...Object.values(disks)]) {
    if (one !== undefined && !/^\/[^/]/.test(one)) throw unclear('the folder', one);
  }
  const name = `peer://${url.hostname.toLowerCase()}:${url.port === '' ? PORT_DEFAULT : url.port}`;
  return { name, paths: { ...(folder !== undefined && { folder }), ...(Object.keys(disks).length > 0 && { disks }) } };
}

function unclear(what: string, text: string): TransferError {
  return new TransferError('E_USAGE', `${what}: cannot use ${JSON.stringify(text)}`, {
    hint: 'Write --to-host peer://host/ROOT/folder, where ROOT is what that host calls a folder that it offers.',
  });
}
