import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import type { MigrationView } from '../../src/migrate/migration-service.js';
import type { Receipt } from '../../src/migrate/receipt-form.js';
import { browserAvailable, type OpenPage } from '../support/browser.js';
import { eventually, goTo } from '../support/dashboard.js';
import { type MovingDashboard, machine, movingView, startMovingDashboard } from '../support/dashboard-migrations.js';
import { FAKE_PREVIEW, FAKE_VM } from '../support/fake-migrations.js';

const { prediction } = FAKE_PREVIEW;
const HOSTILE = `<img src=x onerror=alert(1)> \u202etxt.elif\u2066 \u0645\u0644\u0641 ${'w'.repeat(90)}`;

describe.skipIf(!browserAvailable())('the page of a migration (needs chromium)', () => {
  let dashboard: MovingDashboard;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    dashboard = await startMovingDashboard();
    opened = await dashboard.open();
    page = opened.page;
  });
  afterAll(() => dashboard?.stop());
  beforeEach(async () => {
    dashboard.migrations.asked.length = 0;
    dashboard.machines.machines = [machine(1, 'web')];
    await goTo(page, '#/jobs');
  });
  afterEach(() => {
    expect(opened.elsewhere).toEqual([]);
    expect(opened.complaints.splice(0)).toEqual([]);
  });

  const press = (name: string) => page.getByRole('button', { name }).click();
  const step = (name: string) => page.locator('.steps li').filter({ has: page.getByText(name, { exact: true }) });
  const open = async (view: MigrationView): Promise<void> => {
    dashboard.migrations.views = [view];
    await goTo(page, `#/migrations/${view.id}`);
    await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
  };

  test('each step says whether it is done, how long it took, and how far it is', async () => {
    await open(movingView(1, 'copy-bases', { bytesDone: 3 * 1024 ** 3, bytesTotal: 8 * 1024 ** 3 }));
    expect(await step('snapshot').textContent()).toMatch(/Done.*, 42 s/);
    expect(await step('copy-bases').textContent()).toMatch(/Under waysince .*37 % · 3.00 GiB of 8.00 GiB/);
    expect(await step('copy-bases').getAttribute('aria-current')).toBe('step');
    expect(await step('merge').textContent()).toContain('To come');
    await page.getByText('From save-state to resume, where the side is marked, the guest stands still.').waitFor();
  });

  test('what else was told, such as a power cut, stands on the page, before it was opened and since', async () => {
    const view = movingView(1, 'start', { switchedOver: true });
    const note = (message: string) =>
      dashboard.migrations.tell({ schema: 1, at: systemClock.wallMs(), type: 'note', message }, view.id);
    note('web starts without its memory: to its guest this is a power cut');
    await open(view);
    await page.getByText('to its guest this is a power cut.').waitFor();
    note('d0 was on while it was copied');
    await page.getByText('d0 was on while it was copied.').waitFor();
    expect(await page.locator('.notes li').count()).toBe(2);
  });

  test('one that asks is let stand still anyway, or gets another limit', async () => {
    const { migrations } = dashboard;
    const reason = 'it would stand still for 8.2 s, and 2.0 s at most were allowed';
    const asking = { state: 'asking', reason, prediction: { ...prediction, blackoutMs: 8200 } } as const;
    const view = movingView(1, 'shrink-delta', asking);
    await open(view);
    await press('Go on with this limit');
    await page.getByRole('alert').getByText('Say for how long it may stand still').waitFor();
    await page.getByLabel('Longest blackout').fill('10s');
    await page.keyboard.press('Enter');
    await eventually(() => migrations.asked).toEqual([{ cutover: view.id, maxBlackoutMs: 10_000 }]);
    await press('Let it stand still for 8.2 s anyway');
    await eventually(() => migrations.asked.at(-1)).toEqual({ cutover: view.id, anyway: true });
  });

  test('one that is prepared is cut over, and one that failed is tried again; a refusal stands beside', async () => {
    const { migrations } = dashboard;
    const view = movingView(1, 'shrink-delta', { state: 'prepared', reason: 'all is copied' });
    await open(view);
    migrations.refusal = new TransferError('E_MIGRATION_STATE', 'the migration of web is running');
    await press('Cut over now');
    await page.getByRole('alert').getByText('The migration of web is running.').waitFor();
    await press('Cut over now');
    await eventually(() => migrations.asked).toEqual([{ cutover: view.id }]);
    const full = new TransferError('E_NO_SPACE', '/fast is full', { hint: 'make room' });
    // Its guest runs on at the source, so that the blackout is begun anew.
    const failed = { state: 'failed', reason: full.message, error: full.toJSON(), failedStep: 'prove' } as const;
    migrations.put(movingView(1, 'shrink-delta', failed));
    await page.getByText('Make room.').waitFor();
    expect(await step('prove').textContent()).toContain('Failed');
    expect(await step('shrink-delta').textContent()).toContain('Waits');
    await press('Try again');
    await eventually(() => migrations.asked.length).toBe(2);
    expect(opened.complaints.splice(0).filter((text) => !text.includes('status of 409'))).toEqual([]);
  });

  test('an abort says first what it does, and does nothing after a no', async () => {
    const { migrations } = dashboard;
    const view = movingView(1, 'copy-bases');
    await open(view);
    await press('Abort the migration of web');
    const dialog = page.getByRole('dialog', { name: 'Abort the migration of web?' });
    await dialog.getByText('The machine runs on at the source.').waitFor();
    await dialog.getByText('Its snapshot is merged').waitFor();
    await page.keyboard.press('Escape');
    expect(migrations.asked).toEqual([]);
    await press('Abort the migration of web');
    await dialog.getByRole('button', { name: 'Abort the migration' }).click();
    await eventually(() => migrations.asked).toEqual([{ abort: view.id }]);
    await page.getByText('Aborted', { exact: true }).waitFor();
    expect(await page.getByRole('button', { name: 'Abort' }).isVisible()).toBe(false);
    expect(await step('merge').textContent()).toContain('Left out');
  });

  test('once the machine belongs to the target nothing offers a way back', async () => {
    await open(movingView(1, 'merge', { switchedOver: true }));
    expect(await page.getByRole('button', { name: 'Abort' }).isVisible()).toBe(false);
  });

  test('the receipt is looked at and saved, and predicted and measured blackout stand side by side', async () => {
    const signature = { algorithm: 'ed25519', publicKey: 'a', fingerprint: 'f'.repeat(64), value: 'b' } as const;
    const file = { kind: 'base', source: '/slow/web.vhdx', target: '/fast/web.vhdx', bytes: 4096, root: '' } as const;
    const receipt: Receipt = {
      ...{ schema: 1, kind: 'blockferry-migration', migration: 'm', vm: { id: FAKE_VM, name: 'web' }, from: 'local' },
      ...{ to: 'local', steps: [], files: [{ ...file, sha256: 'e'.repeat(64), chunkBytes: 1024 }], keepSource: false },
      ...{ blackout: { predictedMs: 1400, measuredMs: 1250 }, signature },
    };
    dashboard.migrations.receipts = [receipt];
    await open(movingView(1, undefined, { state: 'done', prediction, blackoutMs: 1250, switchedOver: true }));
    const bars = await page.locator('.blackouts > div').allTextContents();
    expect(bars).toEqual(['Predicted blackout1.4 s', 'Measured blackout1.3 s']);
    await press('Show it');
    await page.getByText(`sha256:${'e'.repeat(64)}`).waitFor();
    await page.getByText(`sha256:${'f'.repeat(64)}`).waitFor();
    const downloading = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download the receipt' }).click();
    const download = await downloading;
    expect(download.suggestedFilename()).toBe('receipt-3f2a91c0.json');
    expect(JSON.parse(readFileSync(await download.path(), 'utf8'))).toEqual(receipt);
  });

  test('a machine is moved with the keyboard alone', async () => {
    const focused = () =>
      page.evaluate(() => {
        const one = document.activeElement as HTMLInputElement | null;
        return one?.labels?.[0]?.textContent ?? one?.textContent ?? '';
      });
    const tabTo = async (name: string): Promise<void> => {
      for (let presses = 0; presses < 40 && !(await focused()).startsWith(name); presses++)
        await page.keyboard.press('Tab');
      expect(await focused()).toContain(name);
    };
    await goTo(page, '#/migrations/new');
    await page.getByRole('radio', { name: 'web' }).waitFor();
    await eventually(focused).toBe('Move a machine');
    await tabTo('web');
    await page.keyboard.press('Space');
    await page.keyboard.press('Enter');
    await eventually(focused).toBe('Where does web go?');
    await tabTo('Folder');
    await page.keyboard.type('/fast');
    await page.keyboard.press('Enter');
    await eventually(focused).toBe('The plan: web');
    await tabTo('Start');
    await page.keyboard.press('Enter');
    await eventually(focused).toBe('web');
    await tabTo('Abort');
    await page.keyboard.press('Enter');
    await eventually(focused).toBe('Go on moving it');
    await page.keyboard.press('Escape');
    await eventually(focused).toContain('Abort');
    expect(dashboard.migrations.asked).toHaveLength(2);
  });

  test('a name that is markup, turns the words around it, or is very long, is a name and nothing more', async () => {
    const { migrations, machines } = dashboard;
    const view = movingView(1, 'copy-bases', { vmName: HOSTILE, reason: `${HOSTILE} is at the target` });
    migrations.views = [view];
    machines.machines = [machine(7, HOSTILE)];
    await page.setViewportSize({ width: 360, height: 740 });
    const looks = async (): Promise<void> => {
      expect(await page.locator('main img, main script').count()).toBe(0);
      expect(await page.locator('main').textContent()).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    };
    await goTo(page, '#/migrations');
    await page.getByRole('link', { name: '<img src=x' }).waitFor();
    await looks();
    await goTo(page, `#/migrations/${view.id}`);
    await page.getByRole('heading', { level: 1, name: '<img src=x' }).waitFor();
    await looks();
    await press('Abort the migration of');
    await page.getByRole('dialog').getByRole('button', { name: 'Go on moving it' }).waitFor();
    await looks();
    await page.keyboard.press('Escape');
    await goTo(page, '#/migrations/new');
    await page.getByRole('radio', { name: '<img src=x' }).check();
    await press('Next');
    await page.getByRole('heading', { name: 'Where does <img src=x' }).waitFor();
    await looks();
  });

  test('a link to a migration that is not there says so', async () => {
    await goTo(page, '#/migrations/none');
    await page.getByText('There is no migration none.').waitFor();
    expect(opened.complaints.splice(0)).toHaveLength(1);
  });
});
