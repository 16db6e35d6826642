import { expect, test } from 'vitest';
import { errorLines } from '../../../src/cli/render/error-text.js';
import { explainLines } from '../../../src/cli/render/explain-text.js';
import { Screen } from '../../../src/cli/render/screen.js';
import { copyLines, statusLines, verifyLines } from '../../../src/cli/render/summary.js';
import { TransferError } from '../../../src/core/errors.js';
import type { TransferEvent } from '../../../src/core/events.js';
import { GiB, MiB, TiB } from '../../../src/core/units.js';
import type { ChunkMap } from '../../../src/transfer/chunk-map.js';
import {
  file,
  limit,
  progress,
  sampleAccount,
  sampleComparison,
  sampleMap,
  sampleResult,
  sampleStatus,
} from '../../support/scripted-run.js';

/** Rows that such terminals have. */
const SIZES = [
  { columns: 40, rows: 16 },
  { columns: 80, rows: 24 },
  { columns: 200, rows: 50 },
] as const;

interface Size {
  readonly columns: number;
  readonly rows: number;
}

function screen(size: Size, events: readonly TransferEvent[], map?: ChunkMap): string[] {
  const shown = new Screen('copying', map && ((cells) => map.view(cells)));
  for (const event of events) shown.see(event);
  // As the reporter draws it: the last column stays free.
  return shown.lines({ columns: size.columns - 1, rows: size.rows, colour: false });
}

const { remainingMs: _, ...begun } = progress({ bytesDone: 0, rateBytesPerSecond: 0 });
const hashing = limit('hashing takes most of the time');
const reading = { phase: 'reading-back', readBack: { bytesDone: 100 * MiB, bytesTotal: GiB } } as const;
const folders = 'images/customers/acme-international/productive/';
const tree = [
  file('images/db.vhd', { bytesDone: 430 * MiB }),
  file(`${folders}exchange-server-2019-data-disk.vhdx`, { size: 400 * GiB, bytesDone: 399 * GiB }),
  file('images/日本語の長い名前のディスクイメージ-第二版-データ.vhd', { bytesDone: 7 * MiB }),
  file('new.img'),
];
const many = Array.from({ length: 50 }, (_, at) => file(`vm-${at}.img`, { bytesDone: at * 10 * MiB }));

const screens: Readonly<Record<string, (size: Size) => string[]>> = {
  'a copy that has just begun': (size) => screen(size, [begun]),
  'a copy under way, and what holds it back': (size) => screen(size, [progress(), hashing]),
  'a copy that takes days': (size) =>
    screen(size, [progress({ bytesTotal: 5 * TiB, rateBytesPerSecond: 9 * MiB, remainingMs: 610_000_000 })]),
  'a resumed copy with its chunks': (size) => screen(size, [progress(), hashing], sampleMap()),
  'a small file with its chunks': (size) => screen(size, [progress()], sampleMap(40)),
  'reading back': (size) => screen(size, [progress(reading)], sampleMap()),
  'a tree while its files are being found': (size) => {
    const files = { done: 12, skipped: 0, failed: 0 };
    return screen(size, [progress({ files }), ...tree.slice(0, 2)]);
  },
  'a tree': (size) =>
    screen(size, [progress({ files: { done: 431, total: 10_000, skipped: 12, failed: 1 } }), ...tree]),
  'a tree of more large files than there are rows': (size) =>
    screen(size, [progress({ files: { done: 0, total: 50, skipped: 0, failed: 0 } }), hashing, ...many]),
};

const names = { source: '/images/disk.vhd', target: '/backup/disk.vhd' };
const printed: Readonly<Record<string, (size: Size) => string[]>> = {
  'the end of a copy': () => copyLines({ ...sampleResult, ...names }, true),
  'the end of a resumed copy that was read back': () =>
    copyLines({ ...sampleResult, ...names, bytesReused: 400 * MiB, bytesZero: 30 * MiB, proof: 'read-back' }, false),
  '--explain': ({ columns }) => explainLines(sampleAccount, { columns, cores: 2 }),
  'files that differ': () => verifyLines(sampleComparison),
  'the status of an interrupted copy': () => statusLines(sampleStatus, 'gone'),
  'an error': () => {
    const hint = 'Nothing was lost. Free some space, then run the same command again.';
    return errorLines(
      new TransferError('E_NO_SPACE', '/backup needs 1.20 GiB more; 300 MiB are free', { hint }),
      false,
    );
  },
};

/** As a terminal shows what is longer than its lines. */
function wrapped(line: string, columns: number): string[] {
  return line.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? [''];
}

test.each(SIZES)('what people see at $columns columns is what is written down', async (size) => {
  const scenes = Object.entries({ ...screens, ...printed }).map(([title, lines]) => {
    const shown = lines(size).flatMap((line) => (title in screens ? [line] : wrapped(line, size.columns)));
    return [`--- ${title}`, '', ...shown, ''].join('\n');
  });
  const page = `A terminal of ${size.columns} columns and ${size.rows} rows, without colours.\n\n${scenes.join('\n')}`;
  await expect(page).toMatchFileSnapshot(`../../goldens/terminal-${size.columns}.txt`);
});
