/** The block device below a path: the whole disk, since those beside us may use another partition of it. */
import { readFileSync, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { deviceNumber, parseMountSource } from './readings.js';

/** Where a path lies, as far as statistics are kept of it. */
export interface BlockDevice {
  /** The same for all that lies there, whether there are statistics or not. */
  readonly key: string;
  /** As people say it: `sda`, or the path where no device is known. */
  readonly name: string;
  /** The file of its statistics; absent: there is none. */
  readonly statistics?: string;
}

export interface SystemFolders {
  readonly sys: string;
  readonly proc: string;
}

export const SYSTEM: SystemFolders = { sys: '/sys', proc: '/proc' };

/** Never rejects: what cannot be found out is left out. What is not there yet lies where the nearest folder does. */
export async function deviceBelow(path: string, folders: SystemFolders = SYSTEM): Promise<BlockDevice> {
  let found = await statOf(path);
  for (let above = dirname(path); !found && above !== dirname(above); above = dirname(above))
    found = await statOf(above);
  if (!found) return { key: `path ${dirname(path)}`, name: dirname(path) };
  const number = deviceNumber(found.isBlockDevice() ? found.rdev : found.dev);
  const disk = wholeDisk(number, folders) ?? wholeDisk(await mountedDevice(number, folders), folders);
  return disk ?? { key: number, name: path };
}

async function statOf(path: string) {
  return stat(path, { bigint: true }).catch(() => undefined);
}

async function mountedDevice(number: string, { proc }: SystemFolders): Promise<string | undefined> {
  const source = parseMountSource(textOf(join(proc, 'self/mountinfo')) ?? '', number);
  const found = source === undefined ? undefined : await statOf(source);
  return found?.isBlockDevice() ? deviceNumber(found.rdev) : undefined;
}

function wholeDisk(number: string | undefined, { sys }: SystemFolders): BlockDevice | undefined {
  if (number === undefined) return undefined;
  try {
    const entry = realpathSync(join(sys, 'dev/block', number));
    const disk = textOf(join(entry, 'partition')) === undefined ? entry : dirname(entry);
    const statistics = join(disk, 'stat');
    if (textOf(statistics) === undefined) return undefined;
    return { key: textOf(join(disk, 'dev'))?.trim() ?? number, name: basename(disk), statistics };
  } catch {
    // tmpfs, overlay, FUSE and network mounts stand on no block device.
    return undefined;
  }
}

/** Undefined where it cannot be read, which is an answer here. */
export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
