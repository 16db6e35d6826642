/** `blockferry disk map`: what is allocated, as a picture in the terminal, a list, and an SVG. */
import { TransferError } from '../../core/errors.js';
import { type DiskMap, mapDisk } from '../../index.js';
import type { DiskMapFlags } from '../disk-program.js';
import { assertNewFile, writeNewFile } from '../new-file.js';
import { COLUMNS_DEFAULT, diskMapLines, extentLines, pictureCells } from '../render/disk-map-text.js';
import type { Session } from '../session.js';
import { lookFor } from './disk.js';

/** Of the drawing, and of JSON. */
const CELLS = 2048;

export async function runDiskMap(session: Session, image: string, flags: DiskMapFlags): Promise<number> {
  const { alone = false, list = false, svg } = flags;
  if (svg !== undefined) await assertNewFile('--svg', svg);
  const { columns = COLUMNS_DEFAULT, isTTY } = session.out.stream;
  const look = { columns, colour: Boolean(isTTY) && (process.env.NO_COLOR ?? '') === '' };
  const drawn = flags.json || svg !== undefined;
  const options = { alone, ...lookFor(flags) };
  const map = await mapDisk(image, { ...options, cells: drawn ? CELLS : pictureCells(look) }).catch(withoutParent);
  if (svg !== undefined) await draw(map, svg);
  if (flags.json) session.out.json({ schema: 1, type: 'disk-map', ...map });
  else if (list) for (const line of extentLines(map)) session.out.line(line);
  else {
    const shown = drawn ? await mapDisk(image, { ...options, cells: pictureCells(look) }) : map;
    // Colours are sent as they are, and names were made fit to be shown.
    for (const line of diskMapLines(shown, look)) session.out.painted(line);
  }
  return 0;
}

function withoutParent(thrown: unknown): never {
  if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_PARENT') throw thrown;
  const hint = [thrown.hint, '--alone shows the image without those that it builds on.'].filter(Boolean).join('\n');
  throw new TransferError(thrown.code, thrown.message, { hint });
}

async function draw(map: DiskMap, file: string): Promise<void> {
  const { diskMapSvg } = await import('../render/disk-map-svg.js');
  await writeNewFile('--svg', file, diskMapSvg(map));
}
