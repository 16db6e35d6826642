import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHUNK_STATES, type ChunkState } from '../../src/transfer/chunk-map.js';
import { browserAvailable, type OpenPage } from '../support/browser.js';
import { ALICE, type Dashboard, eventually, GiB, goTo, makeJob, startDashboard } from '../support/dashboard.js';
import { FakeService } from '../support/fake-service.js';

describe.skipIf(!browserAvailable())('the page of a service that is at work (needs chromium)', () => {
  let dashboard: Dashboard;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    dashboard = await startDashboard();
    opened = await dashboard.open();
    page = opened.page;
  });
  afterAll(() => dashboard?.stop());

  const clean = () => expect(opened).toMatchObject({ complaints: [], elsewhere: [] });
  const row = (name: string) => page.locator('.job').filter({ has: page.getByRole('link', { name, exact: true }) });

  test('jobs appear, move and get on as the service tells it, without a reload', async () => {
    const { service } = dashboard.control;
    service.fileBytes = 4 * GiB;
    const { id } = await makeJob(dashboard.control, 'build-07');
    await row('build-07').waitFor();
    await page.getByRole('heading', { name: 'Queued' }).waitFor();
    service.move(id, 'transferring', { reason: 'held back by its limit' });
    service.copied(id, { bytes: GiB, rateBytesPerSecond: 64 * 1024 * 1024 });
    await row('build-07').getByText('25 % · 1.00 GiB of 4.00 GiB').waitFor();
    await row('build-07').getByText('48 s left').waitFor();
    await row('build-07').getByText('64.0 MiB/s').waitFor();
    await row('build-07').getByText('Held back by its limit.').waitFor();
    await page.getByRole('heading', { name: 'Transferring' }).waitFor();
    expect(await row('build-07').getByRole('progressbar').getAttribute('value')).toBe('0.2500');
    service.move(id, 'transient-error', { reason: 'the host does not answer', retryAt: 4_000_000_000_000 });
    await page.getByRole('heading', { name: 'Transient error' }).waitFor();
    await page.getByRole('button', { name: 'Try again build-07' }).waitFor();
    clean();
  });

  test('the throughput of each class is told beside its line', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'fast', { priority: 'foreground' });
    service.move(id, 'transferring');
    service.copied(id, { bytes: 1000, rateBytesPerSecond: 123 * 1024 * 1024 });
    await page.locator('.rates .legend li', { hasText: 'Foreground' }).getByText('123 MiB/s').waitFor();
    await page.locator('.chart canvas').waitFor();
    service.move(id, 'suspended');
    clean();
  });

  test('the chunk map is a picture with a legend, and the same in words', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'mapped');
    service.move(id, 'transferring');
    const cells = CHUNK_STATES.flatMap((state) => Array<ChunkState>(20).fill(state));
    const counts = Object.fromEntries(CHUNK_STATES.map((state) => [state, 20])) as Record<ChunkState, number>;
    service.map(id, 0, { chunks: 140, counts, cells });
    await goTo(page, `#/job/${id}`);
    const picture = page.getByRole('img', { name: 'Map of 140 chunks: 20 to do, 20 being read, 20 written' });
    await picture.waitFor();
    const colours = await picture.evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
      const pixels = Array.from({ length: data.length / 4 }, (_none, at) => data.slice(at * 4, at * 4 + 4).join());
      return new Set(pixels.filter((pixel) => pixel.endsWith(',255'))).size;
    });
    expect(colours).toBe(CHUNK_STATES.length);
    expect(await page.locator('figure .legend li', { has: page.locator('[class*=chunk-]') }).count()).toBe(7);
    service.move(id, 'suspended');
    await page.getByText('There is a map while the file is being copied.').waitFor();
    clean();
  });

  test('why a job waits is told with the rule, the jobs before it, and what to do', async () => {
    const { service } = dashboard.control;
    const [first, second] = [await makeJob(dashboard.control, 'first'), await makeJob(dashboard.control, 'second')];
    const sentence = 'one job runs already, which is as many as may';
    service.explain(second.id, { sentence, rule: 'jobs-at-once', behind: [first.id], hint: 'raise its priority' });
    await goTo(page, `#/job/${second.id}`);
    await page.getByText('One job runs already, which is as many as may.').waitFor();
    await page.getByText('jobs-at-once').waitFor();
    await page.getByText('Raise its priority.').waitFor();
    await page.getByRole('link', { name: 'first' }).click();
    await page.getByRole('heading', { name: 'first' }).waitFor();
    clean();
  });

  test('ten thousand jobs are listed page by page, and found by name', async () => {
    const { service } = dashboard.control;
    await page.goto('about:blank');
    await Promise.all(Array.from({ length: 10_000 }, (_none, at) => makeJob(dashboard.control, `desktop-${at}`)));
    await page.goto(dashboard.control.url);
    await page.getByText('1 to 50 of 10,005 jobs').waitFor();
    expect(await page.locator('.job').count()).toBe(50);
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('51 to 100 of').waitFor();
    await page.getByLabel('Find').fill('desktop-9876');
    await page.getByText('1 job', { exact: true }).waitFor();
    const job = service.list(ALICE).find(({ name }) => name === 'desktop-9876');
    await page.getByRole('button', { name: 'Suspend desktop-9876' }).click();
    await eventually(() => service.get(job?.id ?? '', ALICE).state).toBe('suspended');
    clean();
  });

  test('when the service is away the page says so, and when it is back it is up to date and live again', async () => {
    const { control } = dashboard;
    await makeJob(control, 'from the old one');
    await page.getByLabel('Find').fill('from the');
    await row('from the old one').waitFor();
    const other = new FakeService();
    const job = await other.create({ name: 'from the new one', files: [{ source: '/a', target: '/b' }] }, ALICE);
    const banner = page.locator('.banner');
    await control.server.close();
    await banner.getByText('The service does not answer.').waitFor();
    await page.getByText('Not connected').waitFor();
    await control.restart(other);
    await banner.getByText('The service was started again at').waitFor();
    await row('from the new one').waitFor();
    await eventually(() => row('from the old one').count()).toBe(0);
    expect(await banner.count()).toBe(1);
    other.move(job.id, 'error', { reason: 'told after the restart' });
    await row('from the new one').getByText('Told after the restart.').waitFor();
  });

  test('who is not known any more is asked for a token', async () => {
    await dashboard.control.forget(ALICE.name);
    await dashboard.control.restart();
    await page.getByLabel('Token').waitFor();
  });
});
