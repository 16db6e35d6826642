import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserAvailable } from '../support/browser.js';
import { ALICE, type Dashboard, eventually, goTo, makeJob, startDashboard } from '../support/dashboard.js';
import { faintTexts, namelessControls, sceneOf } from '../support/dashboard-looks.js';

/** For people who want to look: BLOCKFERRY_PICTURES=folder npx vitest run test/e2e/dashboard-access */
const picturesFolder = process.env.BLOCKFERRY_PICTURES;
const pictureName = (heading: string, { colorScheme = 'light', viewport }: BrowserContextOptions): string =>
  `${heading.split(/\W/)[0]}-${colorScheme}-${viewport?.width ?? 'wide'}.png`;

describe.skipIf(!browserAvailable())('the page for everybody (needs chromium)', () => {
  let dashboard: Dashboard;
  let scene: Readonly<Record<string, string>>;

  beforeAll(async () => {
    dashboard = await startDashboard();
    scene = await sceneOf(dashboard);
  });
  afterAll(() => dashboard?.stop());

  /** Each view, once it is there. */
  async function inEachView(options: BrowserContextOptions, look: (page: Page, view: string) => Promise<void>) {
    const { page, complaints } = await dashboard.open(options);
    for (const [heading, view] of Object.entries(scene)) {
      await goTo(page, view);
      await page.getByRole('heading', { name: heading, level: 1 }).waitFor();
      await look(page, view);
      if (picturesFolder !== undefined)
        await page.screenshot({ path: join(picturesFolder, pictureName(heading, options)) });
    }
    expect(complaints).toEqual([]);
    await page.context().close();
  }

  test('whatever can be used has a name, and there is one heading that says where one is', async () => {
    await inEachView({}, async (page, view) => {
      expect({ view, nameless: await namelessControls(page) }).toEqual({ view, nameless: [] });
      expect(await page.locator('h1').count()).toBe(1);
      // The heading has the focus, so that a reader begins there.
      expect(await page.evaluate(() => document.activeElement?.tagName)).toMatch(/H1|BODY/);
    });
  });

  test('every text stands out from its background, in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await inEachView({ colorScheme }, async (page, view) => {
        expect({ colorScheme, view, faint: await faintTexts(page) }).toEqual({ colorScheme, view, faint: [] });
      });
    }
  });

  test('a phone of 360 pixels shows all of it without scrolling sideways', async () => {
    await inEachView({ viewport: { width: 360, height: 740 } }, async (page, view) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect({ view, wide }).toEqual({ view, wide: 360 });
    });
  });

  test('a job is suspended, cancelled and left alone with the keyboard alone, and the focus stays', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'by keyboard');
    const { page } = await dashboard.open();
    const focused = () =>
      page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);
    const tabTo = async (name: string): Promise<void> => {
      for (let presses = 0; presses < 100 && (await focused()) !== name; presses++) await page.keyboard.press('Tab');
      expect(await focused()).toBe(name);
    };
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    await tabTo('Suspend by keyboard');
    await page.keyboard.press('Enter');
    await eventually(() => service.get(id, ALICE).state).toBe('suspended');
    // Its row moved to another group.
    await eventually(focused).toBe('Resume by keyboard');
    await page.keyboard.press('Space');
    await eventually(() => service.get(id, ALICE).state).toBe('queued');
    await tabTo('Cancel by keyboard');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    expect(await focused()).toBe('Keep the job');
    await page.keyboard.press('Escape');
    await eventually(focused).toBe('Cancel by keyboard');
    expect(service.get(id, ALICE).state).toBe('queued');
    await page.context().close();
  });

  test('what is read aloud is what ended or failed, gathered, and never progress', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'spoken');
    const { page } = await dashboard.open();
    await page.evaluate(() => {
      const said: string[] = [];
      Object.assign(window, { said });
      const region = document.querySelector('#announcer') as HTMLElement;
      new MutationObserver(() => said.push(region.textContent ?? '')).observe(region, { childList: true });
    });
    const said = () => page.evaluate(() => (window as unknown as { said: string[] }).said);
    service.move(id, 'transferring');
    for (let part = 0; part < 20; part++) service.copied(id, { bytes: 1000, rateBytesPerSecond: 1000 + part });
    service.move(id, 'error', { reason: 'the source was changed' });
    await eventually(said).toEqual(['spoken: error.']);
    await page.context().close();
  });
});
