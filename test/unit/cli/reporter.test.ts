import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { fitted } from '../../../src/cli/render/file-text.js';
import { createReporter, saidOf } from '../../../src/cli/render/reporter.js';
import { Screen, type ScreenLook } from '../../../src/cli/render/screen.js';
import { LineWriter, type Session } from '../../../src/cli/session.js';
import type { TransferEvent } from '../../../src/core/events.js';
import { GiB, MiB } from '../../../src/core/units.js';
import { FakeClock } from '../../support/fake-clock.js';
import { at, file, progress, sampleMap } from '../../support/scripted-run.js';

const look: ScreenLook = { columns: 79, rows: 24, colour: false };

function screenOf(...events: readonly TransferEvent[]): Screen {
  const screen = new Screen('copying');
  for (const event of events) screen.see(event);
  return screen;
}

/** What a pipe gets: the events come as the clock goes, and the lines are read at the end. */
async function piped(
  script: readonly { readonly afterMs: number; readonly event: TransferEvent }[],
): Promise<string[]> {
  const stream = new PassThrough();
  const session = { err: new LineWriter(stream as unknown as NodeJS.WriteStream) } as unknown as Session;
  const clock = new FakeClock();
  const reporter = await createReporter(session, 'copying', {});
  for (const { afterMs, event } of script) {
    clock.advance(afterMs);
    await reporter.event(at(clock.wallMs(), event));
  }
  reporter.end();
  stream.end();
  return String(stream.read() ?? '')
    .split('\n')
    .slice(0, -1);
}

const files = { done: 431, total: 10_000, skipped: 0, failed: 0 };

test('a pipe gets a line for the whole tree every five seconds, and one for each file that went wrong', async () => {
  const lines = await piped([
    { afterMs: 0, event: progress({ files }) },
    { afterMs: 250, event: file('a.img') },
    { afterMs: 1000, event: file('sock', { state: 'refused', size: 0, reason: 'it is a socket' }) },
    { afterMs: 3000, event: progress({ files }) },
    { afterMs: 750, event: progress({ files: { ...files, failed: 1 } }) },
    { afterMs: 250, event: file('a.img', { state: 'done' }) },
    { afterMs: 2000, event: progress({ files }) },
  ]);
  expect(lines).toEqual([
    'refused: sock: it is a socket',
    'copying, 431 of 10000 files done, 1 failed: 41%, 430 MiB of 1.00 GiB, 20.0 MiB/s, 30 s left',
  ]);
});

test('before all files are found, a line promises no percentage and no end', async () => {
  const found = { done: 3, skipped: 0, failed: 0 };
  const [line] = await piped([
    { afterMs: 0, event: progress({ files: found }) },
    { afterMs: 5000, event: progress({ files: found }) },
  ]);
  expect(line).toBe('copying, 3 files done and more being found: 430 MiB of at least 1.00 GiB, 20.0 MiB/s');
});

test('a failed file is told with its error, a finished one only by the counts', () => {
  const error = { code: 'E_SOURCE_READ', message: 'a.img cannot be read' } as const;
  expect(saidOf(file('a.img', { state: 'failed', error }))).toBe('failed: a.img cannot be read');
  for (const state of ['started', 'done', 'skipped'] as const) expect(saidOf(file('a.img', { state }))).toBeUndefined();
});

test('a file has its line from its start to its end, in the order in which they began', () => {
  const names = (screen: Screen): string[] => screen.lines(look).map((line) => line.slice(0, 5));
  const screen = screenOf(progress({ files }), file('a.img'), file('b.img'), file('a.img', { bytesDone: MiB }));
  expect(names(screen).slice(0, 2)).toEqual(['a.img', 'b.img']);
  screen.see(file('a.img', { state: 'failed' }));
  expect(names(screen).slice(0, 2)).toEqual(['b.img', ' 41% ']);
});

test('no number of files makes more lines than the terminal has rows', () => {
  const running = Array.from({ length: 100 }, (_, at) => file(`disk-${at}.img`));
  const screen = screenOf(progress({ files }), ...running);
  for (let rows = 1; rows <= 120; rows++) {
    expect(screen.lines({ ...look, rows }).length).toBeLessThanOrEqual(Math.max(1, rows - 1));
  }
  expect(screen.lines({ ...look, rows: 24 })[19]).toBe('  and 81 more files');
});

test('no map makes the screen higher than the terminal is', () => {
  const screen = new Screen('copying', (cells) => sampleMap(655_360).view(cells));
  screen.see(progress());
  for (let rows = 1; rows <= 60; rows++) {
    const lines = screen.lines({ ...look, rows });
    expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(look.columns);
  }
});

test('a map appears where there is room for it and enough to show', () => {
  const lines = (chunks: number, rows: number): number => {
    const screen = new Screen('copying', (cells) => sampleMap(chunks).view(cells));
    screen.see(progress());
    return screen.lines({ ...look, rows }).length;
  };
  expect([lines(8, 24), lines(640, 7), lines(640, 8), lines(640, 24), lines(640, 50)]).toEqual([2, 2, 4, 6, 7]);
});

test('colours change nothing of what the lines say', () => {
  const screen = new Screen('copying', (cells) => sampleMap().view(cells));
  screen.see(progress());
  const coloured = screen.lines({ ...look, colour: true }).join('\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are what is looked for.
  expect(coloured.replace(/\x1b\[\d+m/g, '')).toBe(screen.lines(look).join('\n'));
  expect(coloured).toContain('\x1b[91m!');
});

test('a long name loses its middle, and never half of a character', () => {
  expect(fitted('short.img', 12)).toBe('short.img   ');
  expect(fitted('folder/of/a/long/name.img', 14)).toBe('folder..me.img');
  expect(fitted('日本語の名前.img', 10)).toBe('日本...img');
  expect(fitted('日本語の名前.img', 11)).toBe('日本...img ');
  expect(fitted('👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦', 6)).toBe('👩‍👩‍👧‍👦..👩‍👩‍👧‍👦');
  expect(fitted('anything', 2)).toBe('..');
});

test('a name cannot move the cursor or end its line', () => {
  const screen = screenOf(progress({ files }), file('a\x1b[2J\nb.img', { size: GiB }));
  expect(screen.lines(look)[0]).toMatch(/^a\\x1b\[2J\\nb\.img /);
});
