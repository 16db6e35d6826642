/** The page before real migrations: real jobs copy real files, and guests that are not real note what they meet. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startControl } from '../../src/daemon/control/server.js';
import { addToken } from '../../src/daemon/tokens.js';
import { verifyReceipt } from '../../src/migrate/receipt.js';
import { STEPS } from '../../src/migrate/steps.js';
import { browserAvailable, type OpenPage, openPage, startBrowser } from '../support/browser.js';
import { LOOPBACK } from '../support/control.js';
import { scratchFolder } from '../support/copying.js';
import { BUILT_PAGE, eventually } from '../support/dashboard.js';
import { expectMigrated, expectRuns, gate, type Scene, scene } from '../support/migrating.js';

/** Signed in at the wizard. */
async function openWizard({ service, migrations, world }: Scene): Promise<OpenPage> {
  const folder = scratchFolder();
  const control = await startControl({
    ...{ service: service.service, migrations, version: '1.2.3', socketPath: join(folder, 'control.sock') },
    ...{ tokens: folder, http: LOOPBACK, page: BUILT_PAGE },
    machines: { list: () => world.host('local').list(), peers: () => [] },
  });
  onTestFinished(() => control.close());
  const token = await addToken(folder, { name: 'me', rights: ['admin'], createdAt: 0 });
  const browser = await startBrowser();
  onTestFinished(() => browser.close());
  const opened = await openPage(browser, `${control.url}/#token=${token}`);
  await opened.page.getByRole('link', { name: 'Migrations' }).click();
  await opened.page.getByRole('link', { name: 'Move a machine' }).click();
  await opened.page.getByRole('radio', { name: 'web' }).check();
  await opened.page.getByRole('button', { name: 'Next' }).click();
  return opened;
}

test.skipIf(!browserAvailable())(
  'a machine is moved by the wizard, its steps are seen as they are done, and its receipt is true (needs chromium)',
  async () => {
    const at = await scene();
    const { page, complaints, elsewhere } = await openWizard(at);
    await page.getByLabel('Folder', { exact: true }).fill(at.target);
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByText('2 images, 600 KiB').waitFor();
    const held = gate(at.world.host('local'), 'saveState');
    await page.getByRole('button', { name: 'Start' }).click();
    await held.reached;
    await page.locator('.steps .now', { hasText: 'save-state' }).waitFor();
    expect(await page.locator('.steps .done', { hasText: /Done.*, \d/ }).count()).toBe(5);
    held.release();
    await page.getByText('web is at the target.').waitFor();
    await page.getByText('Measured blackout').waitFor();
    expect(await page.locator('.steps .state.done').count()).toBe(STEPS.length);
    const downloading = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download the receipt' }).click();
    const saved = readFileSync(await (await downloading).path(), 'utf8');
    const [view] = at.migrations.list();
    expect(verifyReceipt(JSON.parse(saved)).steps).toEqual(view?.steps);
    if (view) await expectMigrated(at, view);
    expectRuns(at, 'local');
    expect([complaints, elsewhere]).toEqual([[], []]);
  },
);

test.skipIf(!browserAvailable())(
  'one that is prepared waits on the page for its cutover, and after an abort it runs on where it was (needs chromium)',
  async () => {
    const at = await scene();
    const { page } = await openWizard(at);
    await page.getByLabel('Folder', { exact: true }).fill(at.target);
    await page.getByLabel('Prepare only').check();
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByRole('button', { name: 'Prepare' }).click();
    await page.getByRole('button', { name: 'Cut over now' }).waitFor();
    await page.getByRole('button', { name: 'Abort the migration of web' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Abort the migration' }).click();
    await page.getByText('web stays at the source').waitFor();
    await eventually(() => at.migrations.list()[0]?.state).toBe('aborted');
    expectRuns(at, 'local');
    await page.getByRole('link', { name: 'All migrations' }).click();
    await page.getByText('Aborted', { exact: true }).waitFor();
  },
);
