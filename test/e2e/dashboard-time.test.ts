import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserAvailable, type OpenPage } from '../support/browser.js';
import { ALICE, type Dashboard, eventually, goTo, makeJob, startDashboard } from '../support/dashboard.js';
import { faintTexts, namelessControls, sampleTime } from '../support/dashboard-looks.js';

const HOUR = 3_600_000;

describe.skipIf(!browserAvailable())('where the time of a job went, on the page (needs chromium)', () => {
  let dashboard: Dashboard;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    dashboard = await startDashboard();
    opened = await dashboard.open();
    page = opened.page;
  });
  afterAll(async () => {
    await dashboard?.stop();
    // Of reading the canvas, and of a job that has no map: both are this test's.
    const own = /willReadFrequently|status of 404/;
    expect(opened?.complaints.filter((text) => !own.test(text))).toEqual([]);
  });

  /** How much of the picture has the colour of that property, out of 1. */
  const painted = (property: string): Promise<number> =>
    page.evaluate((name) => {
      const canvas = document.querySelector<HTMLCanvasElement>('.time-chart canvas');
      const context = canvas?.getContext('2d');
      if (!canvas || !context) return 0;
      const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      const wanted = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let at = 0; at < data.length; at += 4) if (wanted.every((value, part) => data[at + part] === value)) found++;
      return found / (data.length / 4);
    }, property);

  test('it is drawn over time, stacked by cause, and told in a table and to who does not see it', async () => {
    const { service } = dashboard.control;
    const [first, { id }] = [await makeJob(dashboard.control, 'the first'), await makeJob(dashboard.control, 'slow')];
    const behind = [
      { job: first.id, name: 'the first', ms: 0.15 * HOUR, preempted: 1 },
      { ms: 0.03 * HOUR, preempted: 0 },
    ];
    service.spent(id, sampleTime(Date.now(), HOUR, behind));
    await goTo(page, `#/job/${id}`);
    await page.getByRole('heading', { name: 'Where the time went' }).waitFor();
    const row = (name: string) => page.getByRole('row', { name });
    expect(await row('The limit of a window').textContent()).toMatch(/14 min.*24 %/s);
    expect(await row('Behind other jobs').textContent()).toMatch(/10 min.*18 %/s);
    expect(
      await page.getByRole('img', { name: /^Where the time went from .* as areas/ }).getAttribute('aria-label'),
    ).toContain('the limit of a window 24 %');
    // Each takes about as much of the picture as of the time; axes and edges are a part of it too.
    for (const [colour, share] of [
      ['--time-limit', 0.24],
      ['--time-queue', 0.18],
      ['--time-error', 0.1],
      ['--time-pressure', 0.1],
    ] as const) {
      await eventually(() => painted(colour)).toBeGreaterThan(share / 3);
      expect(await painted(colour)).toBeLessThan(share);
    }
    await page.getByRole('link', { name: 'the first' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'the first', level: 1 }).waitFor();
    // Nothing is known of that one, and so nothing is shown.
    expect(await page.getByRole('heading', { name: 'Where the time went' }).isVisible()).toBe(false);
  });

  test('in the dark it has the colours of the dark, and what changes meanwhile is drawn', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'dark');
    service.spent(id, sampleTime(Date.now(), HOUR));
    await goTo(page, `#/job/${id}`);
    await eventually(() => painted('--time-limit')).toBeGreaterThan(0.05);
    await page.emulateMedia({ colorScheme: 'dark' });
    await eventually(() => painted('--time-limit')).toBeGreaterThan(0.05);
    expect(await faintTexts(page)).toEqual([]);
    expect(await namelessControls(page)).toEqual([]);
    service.spent(id, { ...sampleTime(Date.now(), HOUR), total: { retry: HOUR }, spans: [{ retry: HOUR }] });
    service.move(id, 'transferring');
    await eventually(() => painted('--time-error')).toBeGreaterThan(0.5);
    await page.emulateMedia({ colorScheme: 'light' });
  });

  test('a job gets a time to be done by on its page, by the clock of the reader, and none', async () => {
    const { id } = await makeJob(dashboard.control, 'settable');
    const finishBy = () => dashboard.control.service.get(id, ALICE).finishBy;
    await goTo(page, `#/job/${id}`);
    await page.getByLabel('Done by').fill('2040-01-31T06:00');
    await page.getByRole('button', { name: 'Set time' }).click();
    await eventually(finishBy).toBe(new Date('2040-01-31T06:00').toISOString());
    await page.getByText(/to be done by 31 Jan/).waitFor();
    await page.getByLabel('Done by').fill('');
    await page.getByRole('button', { name: 'Set time' }).click();
    await eventually(finishBy).toBeFalsy();
  });

  test('by when a job is to be done is told, and that it will be late', async () => {
    const { service } = dashboard.control;
    const finishBy = new Date(Date.now() + 5 * HOUR).toISOString();
    const { id } = await makeJob(dashboard.control, 'tonight', { finishBy, lateByMs: 20 * 60_000 });
    await goTo(page, `#/job/${id}`);
    await page.getByText(/to be done by .*, late by about 20 min/).waitFor();
    await service.cancel(id, { keepPartial: true }, ALICE);
    await eventually(() => page.getByText(/to be done by/).count()).toBe(0);
  });
});
