/**
 * How a differencing VHD names its parent ("Implementing a Differencing Hard Disk" of the VHD specification): a path
 * for each kind of host, each at its own place in the file. Paths are texts of the file, so they are hostile until
 * whoever opens them has checked them.
 */
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { decodePath, encodePath } from '../../platform/path-bytes.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes, ParentLink, ParentPath } from '../image.js';
import { upToNul, type VhdHeader, type VhdLocator, type VhdParentFields } from './dynamic-header.js';
import { VHD_SECTOR_BYTES, vhdTime, vhdTimeMs } from './footer.js';

/** The longest path of Windows has 32,767 characters of two bytes. */
const LOCATOR_BYTES_MAX = 64 * KiB;
const FILE_URL = 'file://';
/** `C:/disks/base.vhd`, `//server/share/base.vhd` */
const OF_WINDOWS = /^([A-Za-z]:|\/)\//;

/** The codes that name a path in a way that is specified; `Wi2r`, `Wi2k` are deprecated, `Mac ` is an alias blob. */
const READERS: Readonly<Record<string, (data: Buffer) => ParentPath>> = {
  W2ru: (data) => ({ kind: 'relative', path: fromWindows(upToNul(data.toString('utf16le'))) }),
  MacX: (data) => fromUrl(upToNul(data.toString('latin1'))),
  W2ku: (data) => ({ kind: 'absolute', path: fromWindows(upToNul(data.toString('utf16le'))) }),
};

/** What is not understood is told to `bad`, and left out. */
export async function readParentLink(
  bytes: DiskBytes,
  header: VhdHeader,
  bad?: (locator: VhdLocator, why: string) => void,
): Promise<ParentLink> {
  const paths: ParentPath[] = [];
  for (const locator of header.locators) {
    const read = Object.hasOwn(READERS, locator.code) ? READERS[locator.code] : undefined;
    if (!read) continue;
    try {
      paths.push(read(await locatorData(bytes, locator)));
    } catch (thrown) {
      if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_FORMAT') throw thrown;
      bad?.(locator, thrown.message);
    }
  }
  const found = [...paths, ...fromName(fromWindows(header.parentName))].filter(({ path }) => path !== '');
  const ordered = [...found.filter(isRelative), ...found.filter((path) => !isRelative(path))];
  const identity = Buffer.from(header.parentId).toString('hex');
  const { parentTime } = header;
  const link = { format: 'vhd', identity, paths: distinct(ordered) } as const;
  return parentTime === 0 ? link : { ...link, modifiedAtMs: vhdTimeMs(parentTime) };
}

const isRelative = ({ kind }: ParentPath): boolean => kind === 'relative';

function distinct(paths: readonly ParentPath[]): readonly ParentPath[] {
  return [...new Map(paths.map((path) => [`${path.kind} ${path.path}`, path])).values()];
}

async function locatorData(bytes: DiskBytes, { code, length, at }: VhdLocator): Promise<Buffer> {
  const what = `parent locator ${code}`;
  if (length > LOCATOR_BYTES_MAX) throw diskError(bytes.name, what, at, 'at most 64 KiB', `${length} bytes`);
  return bytes.read({ offset: at, length }, what);
}

/** The header's own name of the parent is a bare name by the specification; Hyper-V puts the whole path there. */
function fromName(name: string): readonly ParentPath[] {
  const last = name.slice(name.lastIndexOf('/') + 1);
  const relative: ParentPath = { kind: 'relative', path: last };
  return OF_WINDOWS.test(name) ? [relative, { kind: 'absolute', path: name }] : [relative];
}

const fromWindows = (path: string): string => path.replaceAll('\\', '/').replace(/^\.\//, '');

/** `file://localhost/folder/base.vhd` or `file:///folder/base.vhd`, and `file://./base.vhd` for a relative one. */
function fromUrl(url: string): ParentPath {
  const escaped = url.replace(FILE_URL, '').replace(/^localhost\//, '/');
  // Escapes are bytes, and a name of Linux need not be UTF-8.
  const bytes = escaped.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  const path = decodePath(Buffer.from(bytes, 'latin1'));
  return path.startsWith('/') ? { kind: 'absolute', path } : { kind: 'relative', path: path.replace(/^\.\//, '') };
}

function toUrl(path: string): string {
  const bytes = Buffer.from(encodePath(path)).toString('latin1');
  const escaped = (byte: string): string => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  return FILE_URL + bytes.replace(/[^\w.~/-]/g, escaped);
}

/** What the header is to say of a parent, and the locators' data, which is to be written from byte `at` on. */
export function parentFields(
  parent: ParentLink & { readonly identity: string },
  at: number,
  timeBefore: number,
): { readonly fields: VhdParentFields; readonly data: Buffer } {
  const texts = parent.paths.flatMap(locatorTexts).slice(0, 8);
  const locators: VhdLocator[] = [];
  const data: Buffer[] = [];
  let next = at;
  for (const { code, bytes } of texts) {
    const sectors = Buffer.alloc(Math.ceil(bytes.length / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES);
    sectors.set(bytes);
    locators.push({ code, length: bytes.length, at: next });
    data.push(sectors);
    next += sectors.length;
  }
  const path = parent.paths[0]?.path ?? '';
  const name = path.slice(path.lastIndexOf('/') + 1);
  const fields = {
    parentId: Buffer.from(parent.identity, 'hex'),
    parentTime: parent.modifiedAtMs === undefined ? timeBefore : vhdTime(parent.modifiedAtMs),
    parentName: name.includes('\\') ? '' : name,
    locators,
  };
  return { fields, data: Buffer.concat(data) };
}

/** Windows knows its own paths only; a name with a backslash in it cannot be said to Windows at all. */
function locatorTexts({ kind, path }: ParentPath): readonly { code: string; bytes: Buffer }[] {
  if (kind === 'relative') {
    const unix = { code: 'MacX', bytes: Buffer.from(toUrl(`./${path}`)) };
    const windows = { code: 'W2ru', bytes: Buffer.from(`.\\${path.replaceAll('/', '\\')}`, 'utf16le') };
    return path.includes('\\') ? [unix] : [windows, unix];
  }
  return OF_WINDOWS.test(path)
    ? [{ code: 'W2ku', bytes: Buffer.from(path.replaceAll('/', '\\'), 'utf16le') }]
    : [{ code: 'MacX', bytes: Buffer.from(toUrl(path)) }];
}
