import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { browserAvailable, openPage, startBrowser } from '../support/browser.js';
import { freePorts } from '../support/free-ports.js';
import { blockferry, type Command, workFolder } from './command.js';

test.skipIf(!browserAvailable())(
  'a copy that is begun on the page outlives its daemon, and the page sees it to its end (needs chromium)',
  async () => {
    const { folder, content } = await workFolder(24 * MiB);
    const state = ['--state', join(folder, 'state')];
    const [port = 0] = await freePorts(1);
    const serve = async (): Promise<Command> => {
      const command = blockferry(folder, 'serve', '--json', ...state, '--http', `127.0.0.1:${port}`);
      await command.event(({ type }) => (type as string) === 'serving');
      return command;
    };
    const daemon = await serve();
    const added = await blockferry(folder, 'serve', 'token', 'add', 'me', '--rights', 'admin', ...state).ended;
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const { page } = await openPage(browser, `http://127.0.0.1:${port}/#token=${added.out.trim()}`);

    await page.getByRole('link', { name: 'New job' }).click();
    await page.getByLabel('Source').fill(join(folder, 'disk.img'));
    await page.getByLabel('Target').fill(join(folder, 'b.img'));
    await page.getByLabel('Limit', { exact: true }).fill('4MiB');
    await page.getByRole('button', { name: 'Create job' }).click();
    await page.getByRole('img', { name: 'Map of 3 chunks' }).waitFor();
    await page.waitForFunction(() => Number(document.querySelector('progress')?.getAttribute('value')) > 0.2);

    daemon.child.kill('SIGKILL');
    await daemon.ended;
    await page.getByText('Not connected').waitFor();
    await serve();
    await page.locator('.banner').getByText('The service was started again at').waitFor();
    await page.getByLabel('Limit', { exact: true }).fill('');
    await page.getByRole('button', { name: 'Set limit' }).click();
    await page.getByText('Acknowledged', { exact: true }).waitFor();
    expect(readFileSync(join(folder, 'b.img')).equals(content)).toBe(true);

    await page.getByRole('link', { name: 'Policy' }).click();
    await page.getByLabel('Text of the policy').fill('# Rules\njobs-at-once = "many"\n');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('alert').getByText('2 │ jobs-at-once = "many"').waitFor();
  },
);
