import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { MAIN, workFolder } from './command.js';

const ROWS = 16;
const COPY = 'copy --limit 15MiB --chunk-size 1MiB disk.img copy.img';

interface Pane {
  /** What is on the screen, with colours on demand. */
  lines(escapes?: 'escapes'): string[];
  keys(...keys: readonly string[]): void;
  resize(columns: number): void;
  cursorShown(): boolean;
  until(what: RegExp): Promise<void>;
}

/** A terminal of that size in which the command runs, and then says its exit code. */
function openPane(folder: string, columns: number, command: string): Pane {
  const socket = `blockferry-${randomBytes(6).toString('hex')}`;
  const tmux = (...args: readonly string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], { encoding: 'utf8', cwd: folder });
  onTestFinished(() => void tmux('kill-server'));
  const line = `${command}; echo "exit=$?"; exec sleep 60`;
  tmux('new-session', '-d', '-x', String(columns), '-y', String(ROWS), line);
  const pane: Pane = {
    lines: (escapes) =>
      tmux('capture-pane', '-p', ...(escapes ? ['-e'] : []))
        .trimEnd()
        .split('\n'),
    keys: (...keys) => void tmux('send-keys', ...keys),
    resize: (to) => void tmux('resize-window', '-x', String(to), '-y', String(ROWS)),
    cursorShown: () => tmux('display', '-p', '#{cursor_flag}').trim() === '1',
    until: (what) => vi.waitFor(() => expectMatch(pane.lines().join('\n'), what), { timeout: 30_000, interval: 40 }),
  };
  return pane;
}

function expectMatch(text: string, what: RegExp): void {
  if (!what.test(text)) throw new Error(`${what} is not on the screen:\n${text}`);
}

function needsTmux(context: TestContext): void {
  let version = '';
  try {
    version = execFileSync('tmux', ['-V'], { encoding: 'utf8' });
  } catch (error) {
    version = '';
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  context.skip(version === '', 'needs tmux');
}

const command = (args: string, env = ''): string => `${env} ${process.execPath} ${MAIN} ${args}`;

/** The signs of a copy that is neither resumed nor sparse, and what they mean as far as there is room. */
const MAP = / {5}[#+>.]+\n( {5}[#+>.]+\n)?( {5}[#+>.] .*\n?)?/;

test.for([80, 30, 20])(
  'at %i columns the bar takes one line, the map below it few, and none is left behind',
  async (columns, context) => {
    needsTmux(context);
    const { expect } = context;
    const { folder } = await workFolder(30 * MiB);
    const pane = openPane(folder, columns, command(COPY));
    await pane.until(/ [2-9]\d%/);
    const during = pane.lines();
    expect(during.slice(2).join('\n')).toMatch(new RegExp(`^${MAP.source}$`));
    expect(during[0]).toMatch(columns === 80 ? /^ \d\d% \[#+\.+\] .* of 30.0 MiB .*MiB\/s .* left$/ : /^ \d\d%/);
    expect(during[1]).toMatch(/^ {5}copying/);
    expect(pane.cursorShown()).toBe(false);
    await pane.until(/exit=0/);
    const after = pane.lines().join('\n');
    expect(after).not.toMatch(/\d%|\[#|copying:/);
    expect(after.replaceAll('\n', '')).toMatch(/^\S*disk.img is copied to .*exit=0$/);
    expect(pane.cursorShown()).toBe(true);
  },
);

test('a terminal that is made narrower and wider again shows one bar', async (context) => {
  needsTmux(context);
  const { folder } = await workFolder(60 * MiB);
  const pane = openPane(folder, 80, command(COPY));
  await pane.until(/ \d\d%.*left/);
  for (const columns of [40, 24, 100]) {
    pane.resize(columns);
    // The bar is drawn for the new width as soon as the process has heard of it.
    await pane.until(new RegExp(`^ \\d\\d%.*\\n {5}copying.*\\n${MAP.source}$`));
  }
});

test('the map fills up from chunk to chunk, and no screen in between is torn', async (context) => {
  needsTmux(context);
  const { expect } = context;
  const { folder } = await workFolder(40 * MiB);
  const pane = openPane(folder, 60, command(COPY.replace('15MiB', '20MiB'), 'NO_COLOR=1'));
  await pane.until(/ {5}[#+>]+\.+\n/);
  const whole = /^ +\d+% .*\n {5}copying.*\n {5}([#+]*>*[#+>]*\.*)\n {5}\. to do {2}> copying.*$/;
  const filled: number[] = [];
  while (!pane.lines().join('\n').includes('exit=')) {
    const screen = pane.lines().join('\n');
    if (!screen.includes('%')) break;
    expect(screen).toMatch(whole);
    filled.push(screen.match(whole)?.[1]?.replaceAll('.', '').length ?? 0);
  }
  expect(filled).toEqual([...filled].sort((one, other) => one - other));
  expect(new Set(filled).size).toBeGreaterThan(3);
  await pane.until(/exit=0/);
  expect(pane.lines().join('\n')).not.toMatch(/to do|[#+>.]{8}/);
});

test('a run that goes on shows what it proved, and what it copies, in the map', async (context) => {
  needsTmux(context);
  const { folder } = await workFolder(60 * MiB);
  const pane = openPane(folder, 80, `${command(COPY)}; ${command(COPY)}`);
  await pane.until(/ {5}#+\+*>+\.+\n/);
  pane.keys('C-c');
  await pane.until(/going on with the partial copy/);
  await pane.until(/ {5}=+[+#]*>*[+#>]*\.+\n {5}\. to do.*= proven/);
});

test('NO_COLOR draws the same bar without colours', async (context) => {
  needsTmux(context);
  const { folder } = await workFolder(30 * MiB);
  const plain = openPane(folder, 80, command(COPY, 'NO_COLOR=1'));
  await plain.until(/\d\d% \[#/);
  context.expect(plain.lines('escapes').join('')).not.toContain('\x1b');
  const coloured = openPane(folder, 80, command(COPY.replace('copy.img', 'other.img'), 'env -u NO_COLOR'));
  await coloured.until(/\d\d% \[#/);
  context.expect(coloured.lines('escapes').join('')).toContain('\x1b[36m#');
});

test('a dumb terminal gets plain lines and no bar', async (context) => {
  needsTmux(context);
  const { folder } = await workFolder(100 * MiB);
  const pane = openPane(folder, 100, command(COPY.replace('15MiB', '10MiB'), 'TERM=dumb'));
  await pane.until(/^copying: \d+%, [\d.]+ MiB of 100 MiB, .*MiB\/s, .* left/);
  context.expect(pane.lines('escapes').join('')).not.toContain('\x1b');
  context.expect(pane.lines().join('')).not.toContain('[#');
});

test('Ctrl-C takes the bar away, gives the cursor back and says how to go on', async (context) => {
  needsTmux(context);
  const { expect } = context;
  const { folder } = await workFolder(60 * MiB);
  const pane = openPane(folder, 200, command(COPY));
  await pane.until(/\d\d% \[#/);
  pane.keys('C-c');
  await pane.until(/exit=130/);
  const [stopping, kept, goOn, exit, ...rest] = pane.lines();
  expect(stopping).toMatch(/^(\^C)?stopping: /);
  expect(kept).toMatch(/^blockferry: stopped; [\d.]+ MiB of 60.0 MiB are copied and kept$/);
  expect(goOn).toMatch(/^ {2}Go on with: .* copy --limit 15MiB --chunk-size 1MiB disk.img copy.img$/);
  expect([exit, ...rest]).toEqual(['exit=130']);
  expect(pane.cursorShown()).toBe(true);
});
