import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { needsCommands, openPane } from '../support/pane.js';
import { MAIN, workFolder } from './command.js';

const SCRIPTED = fileURLToPath(new URL('../support/scripted-terminal.mjs', import.meta.url));
const COPY = 'copy --limit 15MiB --chunk-size 1MiB disk.img copy.img';

/** The command, which says its exit code. */
const command = (args: string, env = ''): string => `${env} ${process.execPath} ${MAIN} ${args}; echo "exit=$?"`;

/** The signs of a copy that is neither resumed nor sparse, and what they mean as far as there is room. */
const MAP = / {5}[#+>.]+\n( {5}[#+>.]+\n)?( {5}[#+>.] .*\n?)?/;

test.for([80, 30, 20])(
  'at %i columns the bar takes one line, the map below it few, and none is left behind',
  async (columns, context) => {
    needsCommands(context, 'tmux');
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
  needsCommands(context, 'tmux');
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
  needsCommands(context, 'tmux');
  const { expect } = context;
  const { folder } = await workFolder(40 * MiB);
  const pane = openPane(folder, 60, command(COPY.replace('15MiB', '20MiB'), 'NO_COLOR=1'));
  await pane.until(/ {5}[#+>]+\.+\n/);
  const whole = /^ *\d+% .*\n {5}(?:copying|putting|done).*\n {5}([#+]*>*[#+>]*\.*)\n {5}\. to do {2}> copying.*$/;
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
  needsCommands(context, 'tmux');
  const { folder } = await workFolder(60 * MiB);
  const pane = openPane(folder, 80, `${command(COPY)}; ${command(COPY)}`);
  await pane.until(/ {5}#+\+*>+\.+\n/);
  pane.keys('C-c');
  await pane.until(/going on with the partial copy/);
  await pane.until(/ {5}=+[+#]*>*[+#>]*\.+\n {5}\. to do.*= proven/);
});

test('files under way have a line each, and a file that failed is told above them, once', async (context) => {
  needsCommands(context, 'tmux');
  const { expect } = context;
  const { folder } = await workFolder(1);
  const pane = openPane(folder, 80, `NO_COLOR=1 ${process.execPath} ${SCRIPTED}; echo "exit=$?"`);
  await pane.until(/-0\.vhdx [\s\S]*-5\.vhdx [\s\S]* of 400 files/);
  const screen = pane.lines();
  expect(screen).toHaveLength(8);
  for (const line of screen.slice(0, 6))
    expect(line).toMatch(/^images\/cust.*\.\..*\.vhdx +\d+% \[#*\.*\] .* of 1.00 GiB$/);
  expect(screen[6]).toMatch(/^ +\d+% \[.*\] +.* of 8.00 GiB +256 MiB\/s +9.0 s left$/);
  expect(screen[7]).toMatch(/^ {5}copying, \d+ of 400 files done, 3 skipped$/);
  await pane.until(/^failed: images[^\n]*: its storage is\s+gone\n/);
  await pane.until(/exit=0/);
  expect(pane.lines().join('\n')).toMatch(/^failed: \S+: its storage is\s+gone\nexit=0$/);
});

test('a tree is told as copying, with its counts, and what it had to refuse stays above', async (context) => {
  needsCommands(context, 'tmux');
  const { expect } = context;
  const { folder } = await workFolder(30 * MiB);
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  writeFileSync(join(folder, 'small'), 'small');
  const pane = openPane(folder, 100, command('copy -r --limit 15MiB . ../tree-$$; rm -r ../tree-$$'));
  await pane.until(/^refused: \S*pipe is a special file.*\n\S*disk\.img +\d+% \[.*\n +\d+% \[.*\n {5}copying, /);
  expect(pane.lines().at(-1)).toMatch(/copying, \d of \d files done, 1 failed/);
  await pane.until(/exit=/);
  expect(pane.lines().join('\n')).not.toMatch(/\[#|copying,/);
});

test('NO_COLOR draws the same bar without colours', async (context) => {
  needsCommands(context, 'tmux');
  const { folder } = await workFolder(30 * MiB);
  const plain = openPane(folder, 80, command(COPY, 'NO_COLOR=1'));
  await plain.until(/\d\d% \[#/);
  context.expect(plain.lines('escapes').join('')).not.toContain('\x1b');
  const coloured = openPane(folder, 80, command(COPY.replace('copy.img', 'other.img'), 'env -u NO_COLOR'));
  await coloured.until(/\d\d% \[#/);
  context.expect(coloured.lines('escapes').join('')).toContain('\x1b[36m#');
});

test('a dumb terminal gets plain lines and no bar', async (context) => {
  needsCommands(context, 'tmux');
  const { folder } = await workFolder(100 * MiB);
  const pane = openPane(folder, 100, command(COPY.replace('15MiB', '10MiB'), 'TERM=dumb'));
  await pane.until(/^copying: \d+%, [\d.]+ MiB of 100 MiB, .*MiB\/s, .* left/);
  context.expect(pane.lines('escapes').join('')).not.toContain('\x1b');
  context.expect(pane.lines().join('')).not.toContain('[#');
});

test('Ctrl-C takes the bar away, gives the cursor back and says how to go on', async (context) => {
  needsCommands(context, 'tmux');
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
