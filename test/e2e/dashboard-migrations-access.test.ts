import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserAvailable } from '../support/browser.js';
import { goTo } from '../support/dashboard.js';
import { faintTexts, namelessControls } from '../support/dashboard-looks.js';
import { type MovingDashboard, movingScene, startMovingDashboard } from '../support/dashboard-migrations.js';

/** For people who want to look: BLOCKFERRY_PICTURES=folder npx vitest run test/e2e/dashboard-migrations-access */
const picturesFolder = process.env.BLOCKFERRY_PICTURES;

describe.skipIf(!browserAvailable())('migrations on the page, for everybody (needs chromium)', () => {
  let dashboard: MovingDashboard;
  let scene: Readonly<Record<string, string>>;

  beforeAll(async () => {
    dashboard = await startMovingDashboard();
    scene = movingScene(dashboard);
  });
  afterAll(() => dashboard?.stop());

  /** Each view, and each step of the wizard, once it is there. */
  async function inEachView(options: BrowserContextOptions, look: (page: Page, view: string) => Promise<void>) {
    const { page, complaints } = await dashboard.open(options);
    const see = async (view: string): Promise<void> => {
      await look(page, view);
      const { colorScheme = 'light', viewport } = options;
      const name = `${view.replace(/\W+/g, '-')}-${colorScheme}-${viewport?.width ?? 'wide'}.png`;
      if (picturesFolder !== undefined) await page.screenshot({ path: join(picturesFolder, name), fullPage: true });
    };
    for (const [heading, view] of Object.entries(scene)) {
      await goTo(page, view);
      await page.getByRole('heading', { name: heading, level: 1, exact: true }).waitFor();
      if (heading === 'Move a machine') await page.getByRole('radio', { name: 'mail, the old one' }).waitFor();
      await see(heading);
    }
    await goTo(page, '#/migrations/new');
    await page.getByRole('radio', { name: 'mail, the old one' }).check();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByRole('radio', { name: 'A folder for each disk' }).check();
    await page.getByRole('button', { name: 'Plan' }).click();
    await see('where to, wrong');
    await page.getByLabel('Folder for d0').fill('/fast');
    await page.getByLabel('Folder for d1').fill('/faster');
    await page.getByLabel('Longest blackout').fill('1s');
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByRole('heading', { name: 'The plan: web' }).waitFor();
    await see('plan');
    dashboard.migrations.problems = ['This host has no KVM.', '/fast has 3.0 GiB free; 4.0 GiB are needed.'];
    await page.getByRole('button', { name: 'Back' }).click();
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByRole('heading', { name: 'It cannot begin: web' }).waitFor();
    await see('plan with problems');
    dashboard.migrations.problems = [];
    expect(complaints).toEqual([]);
    await page.context().close();
  }

  test('whatever can be used has a name, and every text stands out from its background, also in the dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await inEachView({ colorScheme }, async (page, view) => {
        const [nameless, faint] = [await namelessControls(page), await faintTexts(page)];
        expect({ colorScheme, view, nameless, faint }).toEqual({ colorScheme, view, nameless: [], faint: [] });
        expect(await page.locator('h1').count()).toBe(1);
      });
    }
  });

  test('a phone of 360 pixels shows all of it without scrolling sideways', async () => {
    await inEachView({ viewport: { width: 360, height: 740 } }, async (page, view) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect({ view, wide }).toEqual({ view, wide: 360 });
    });
  });
});
