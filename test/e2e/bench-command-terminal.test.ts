import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MAIN, workFolder } from './command.js';

interface Pane {
  readonly folder: string;
  /** What is on the screen. */
  screen(): string;
  keys(...keys: readonly string[]): void;
  until(what: RegExp): Promise<void>;
}

/** A terminal of 80 columns in which bench measures the folder `place`, and then says its exit code. */
async function benchIn(context: TestContext, args: string): Promise<Pane> {
  context.skip(spawnSync('tmux', ['-V']).status !== 0, 'needs tmux');
  const { folder } = await workFolder(1);
  await mkdir(join(folder, 'place'));
  const socket = `blockferry-${randomBytes(6).toString('hex')}`;
  const tmux = (...rest: readonly string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...rest], { encoding: 'utf8', cwd: folder });
  onTestFinished(() => void tmux('kill-server'));
  const line = `${process.execPath} ${MAIN} bench ${args} place; echo "exit=$?"; exec sleep 60`;
  tmux('new-session', '-d', '-x', '80', '-y', '50', line);
  const screen = (): string => tmux('capture-pane', '-p').trimEnd();
  return {
    folder: join(folder, 'place'),
    screen,
    keys: (...keys) => void tmux('send-keys', ...keys),
    until: (what) => vi.waitFor(() => expect(screen()).toMatch(what), { timeout: 30_000, interval: 40 }),
  };
}

const QUESTION = /bench writes up to 2\.\d+ GiB in place \(.* free\)\. Go on\? \[y\/N\]/;
const MUCH = '--seconds 0.01 --size 2.1GiB';

test.for(['n', '', 'C-c', 'C-d'])('more than 1 GiB is asked about, and %j is a no', async (answer, context) => {
  const pane = await benchIn(context, MUCH);
  await pane.until(QUESTION);
  pane.keys(...(answer === '' ? [] : [answer]), ...(answer.startsWith('C-') ? [] : ['Enter']));
  await pane.until(/not measured; nothing was written[\s\S]*exit=130/);
  context.expect(await readdir(pane.folder)).toEqual([]);
});

test('y begins to measure; Ctrl-C then takes the progress and the scratch away', async (context) => {
  const pane = await benchIn(context, MUCH.replace('0.01', '5'));
  await pane.until(QUESTION);
  pane.keys('y', 'Enter');
  await pane.until(/ 1\/\d+ {2}hash: xxh64, 256 KiB, 1 thread$/);
  pane.keys('C-c');
  await pane.until(/stopping: [\s\S]*the benchmark was stopped; nothing of it is left\nexit=130/);
  context.expect(pane.screen()).not.toMatch(/hash:/);
  context.expect(await readdir(pane.folder)).toEqual([]);
});

test('the progress leaves nothing on the screen but the table', async (context) => {
  const pane = await benchIn(context, '--seconds 0.02 --size 64MiB');
  await pane.until(/exit=0/);
  context.expect(pane.screen()).toMatch(/^measuring: .*\nA?.*cores.*/);
  context.expect(pane.screen()).not.toMatch(/\d\/\d+ {2}/);
});
