/** The parent locator of a differencing VHDX ([MS-VHDX] 2.6.2.6): keys and values that say which file is its parent. */
import { TransferError } from '../../core/errors.js';
import type { ParentLink, ParentPath } from '../image.js';
import { demand, type Spot } from './demand.js';
import { guidBytes, parseGuid, readGuid } from './guid.js';

/** "The only parent-locator type defined by this specification" (2.6.2.6.3). */
const VHDX_LOCATOR = 'b04aefb7-d19e-4a81-b789-25b8e9445913';
const HEADER_BYTES = 20;
const ENTRY_BYTES = 12;
const TEXT_BYTES_MAX = 0xffff;

/** In the order in which they are to be tried. */
const PATH_KEYS = [
  { key: 'relative_path', kind: 'relative' },
  { key: 'volume_path', kind: 'absolute' },
  { key: 'absolute_win32_path', kind: 'absolute' },
] as const;

export function decodeParentLocator(item: Buffer, spot: Spot): ParentLink {
  demand(spot, item.length >= HEADER_BYTES, `at least ${HEADER_BYTES} bytes`, `${item.length} bytes`);
  const type = readGuid(item);
  demand(spot, type === VHDX_LOCATOR, 'a VHDX as the parent', `a locator of type ${type}`);
  const entries = decodeEntries(item, spot);
  const linkage = entries.get('parent_linkage');
  const identity = parseGuid(linkage ?? '');
  demand(spot, identity !== undefined, 'parent_linkage with a GUID', linkage === undefined ? 'none' : quoted(linkage));
  const second = entries.get('parent_linkage2');
  const otherIdentity = parseGuid(second ?? '');
  demand(spot, (second === undefined) === (otherIdentity === undefined), 'a GUID', quoted(second ?? ''));
  const paths = PATH_KEYS.flatMap(({ key, kind }): ParentPath[] => {
    const path = entries.get(key);
    return path === undefined ? [] : [{ kind, path: toSlashes(path) }];
  });
  demand(spot, paths.length > 0, 'a path of the parent', 'none');
  return { format: 'vhdx', identity, ...(otherIdentity !== undefined && { otherIdentity }), paths };
}

function decodeEntries(item: Buffer, spot: Spot): ReadonlyMap<string, string> {
  const count = item.readUInt16LE(18);
  const end = HEADER_BYTES + count * ENTRY_BYTES;
  demand(spot, end <= item.length, `${count} entries in ${item.length} bytes`, `${end} bytes`);
  const entries = new Map<string, string>();
  // The texts of 65,535 entries may overlap, so what they take together is bounded, too.
  let textBytes = 0;
  for (let at = HEADER_BYTES; at < end; at += ENTRY_BYTES) {
    const text = (offset: number, length: number): string => {
      const inside = offset >= HEADER_BYTES && length > 0 && length % 2 === 0 && offset <= item.length - length;
      demand(spot, inside, 'UTF-16 text inside the item', `${length} bytes at ${offset} of ${item.length}`);
      textBytes += length;
      demand(spot, textBytes <= 4 * item.length, 'texts beside one another', 'texts that lie over one another');
      const read = item.toString('utf16le', offset, offset + length);
      demand(spot, !read.includes('\0'), 'text without NUL', quoted(read));
      return read;
    };
    const key = text(item.readUInt32LE(at), item.readUInt16LE(at + 8));
    demand(spot, !entries.has(key), 'each key once', `${quoted(key)} twice`);
    entries.set(key, text(item.readUInt32LE(at + 4), item.readUInt16LE(at + 10)));
  }
  return entries;
}

/** @throws TransferError E_DISK_FORMAT when the format cannot say that */
export function encodeParentLocator(link: ParentLink, name: string): Buffer {
  const refused = (expected: string, found: string): TransferError =>
    new TransferError('E_DISK_FORMAT', `${name}: parent locator: expected ${expected}, found ${found}`, {
      hint: 'A VHDX names a VHDX as its parent, by its identity and by a path.',
    });
  const identity = parseGuid(link.identity ?? '');
  if (link.format !== 'vhdx') throw refused('a VHDX as the parent', String(link.format));
  if (identity === undefined) throw refused('a GUID as identity', quoted(link.identity ?? ''));
  const pathOf = (kind: ParentPath['kind']): string | undefined => link.paths.find((one) => one.kind === kind)?.path;
  const texts: readonly (readonly [string, string | undefined])[] = [
    ['parent_linkage', `{${identity}}`],
    ['relative_path', pathOf('relative')?.replaceAll('/', '\\')],
    ['absolute_win32_path', toWin32(pathOf('absolute'))],
  ];
  const given = texts.filter((pair): pair is readonly [string, string] => pair[1] !== undefined);
  if (given.length === 1) throw refused('a path of the parent', 'none');
  for (const [, text] of given) {
    const fits = text.length > 0 && text.length * 2 <= TEXT_BYTES_MAX && !text.includes('\0');
    if (!fits) throw refused('a text of 1 to 32767 characters without NUL', quoted(text.slice(0, 80)));
  }
  return encodeEntries(given);
}

function encodeEntries(pairs: readonly (readonly [string, string])[]): Buffer {
  const head = Buffer.alloc(HEADER_BYTES + pairs.length * ENTRY_BYTES);
  head.set(guidBytes(VHDX_LOCATOR));
  head.writeUInt16LE(pairs.length, 18);
  const texts: Buffer[] = [];
  let end = head.length;
  pairs.forEach((pair, index) => {
    pair.forEach((text, part) => {
      const bytes = Buffer.from(text, 'utf16le');
      head.writeUInt32LE(end, HEADER_BYTES + index * ENTRY_BYTES + part * 4);
      head.writeUInt16LE(bytes.length, HEADER_BYTES + index * ENTRY_BYTES + 8 + part * 2);
      texts.push(bytes);
      end += bytes.length;
    });
  });
  return Buffer.concat([head, ...texts]);
}

/** `\\?\d:\vm\base.vhdx` is `d:/vm/base.vhdx`, and `\mnt\vm\base.vhdx`, as we write it, `/mnt/vm/base.vhdx`. */
const toSlashes = (path: string): string => path.replace(/^\\\\\?\\/, '').replaceAll('\\', '/');

/** Only a path with a drive letter has the prefix of Windows; to other systems it would say something else. */
function toWin32(path: string | undefined): string | undefined {
  const turned = path?.replaceAll('/', '\\');
  return turned !== undefined && /^[a-z]:\\/i.test(turned) ? `\\\\?\\${turned}` : turned;
}

const quoted = (text: string): string => JSON.stringify(text);
