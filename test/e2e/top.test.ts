/** `blockferry top` on a real terminal, over a real service. */
import { spawnSync } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { pairIn, scratchFolder } from '../support/copying.js';
import { openPane } from '../support/pane.js';
import { startServiceHost } from '../support/service-host.js';
import { blockferry } from './command.js';

const MAIN = new URL('../../dist/src/cli/main.js', import.meta.url).pathname;

test('top draws what moves first, survives a start of the service, and gives the cursor back', async (context) => {
  context.skip(spawnSync('tmux', ['-V']).status !== 0, 'needs tmux');
  const host = await startServiceHost();
  onTestFinished(() => host.stop());
  const [slow, asleep] = [pairIn(scratchFolder(), 4 * MiB, 'slow'), pairIn(scratchFolder(), MiB, 'asleep')];
  const files = ({ source, target }: { source: string; target: string }) => [{ source, target }];
  await host.client.create({ name: 'asleep', files: files(asleep), suspended: true });
  await host.client.create({ name: 'slow', files: files(slow), limitBytesPerSecond: 64 * 1024 });
  const command = `${process.execPath} ${MAIN} top --state ${host.state}`;
  const pane = openPane(scratchFolder(), 100, command);
  await pane.until(/1 transferring, 1 suspended; [^\n]*\/s\njob [^\n]*\n[^\n]* slow [^\n]*\n[^\n]* asleep /);
  await host.kill();
  await pane.until(/the service is away/);
  await host.start();
  await pane.until(/1 transferring, 1 suspended/);
  pane.keys('C-c');
  await expect.poll(() => pane.cursorShown()).toBe(true);
}, 60_000);

test('top says what else there is where the output is no terminal', async () => {
  const { exitCode, err } = await blockferry(scratchFolder(), 'top').ended;
  expect(exitCode).toBe(2);
  expect(err).toMatch(/is none\n.*blockferry job list/s);
});
