import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { browserAvailable, type OpenPage } from '../support/browser.js';
import { eventually, goTo } from '../support/dashboard.js';
import {
  type MovingDashboard,
  machine,
  movingView,
  PEER,
  startMovingDashboard,
} from '../support/dashboard-migrations.js';
import { FAKE_MIGRATION, FAKE_PREVIEW } from '../support/fake-migrations.js';

const GIB = 1024 ** 3;

describe.skipIf(!browserAvailable())('machines are moved on the page (needs chromium)', () => {
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
    const { migrations, machines } = dashboard;
    Object.assign(migrations, { problems: [], refusal: undefined });
    migrations.asked.length = 0;
    machines.machines = [machine(1, 'web'), machine(2, 'mail', 2), machine(3, 'build', 1, 'off')];
    await goTo(page, '#/jobs');
  });
  afterEach(() => {
    expect(opened.elsewhere).toEqual([]);
    expect(opened.complaints.splice(0)).toEqual([]);
  });

  /** A browser complains of each answer that is an error, also of those that are expected. */
  const refusedWith = (status: number): void => {
    expect(opened.complaints.splice(0).filter((text) => !text.includes(`status of ${status}`))).toEqual([]);
  };
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  const press = (name: string) => page.getByRole('button', { name }).click();
  const alert = (text: string) => page.getByRole('alert').getByText(text).waitFor();
  const whereTo = async (name: string): Promise<void> => {
    await goTo(page, '#/migrations/new');
    await page.getByRole('radio', { name }).check();
    await press('Next');
    await page.getByRole('heading', { name: `Where does ${name} go?` }).waitFor();
  };
  /** The page of one that is there. */
  const openOne = async (id: string): Promise<void> => {
    await goTo(page, `#/migrations/${id}`);
    await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
  };

  test('the wizard asks which machine and where to, shows the plan, and starts it', async () => {
    const { migrations } = dashboard;
    await page.getByRole('link', { name: 'Migrations' }).click();
    await page.getByText('No machine was moved yet.').waitFor();
    await page.getByRole('link', { name: 'Move a machine' }).click();
    await page.getByRole('radio', { name: 'web' }).check();
    await press('Next');
    await eventually(focused).toBe('Where does web go?');
    await page.getByLabel('Folder', { exact: true }).fill('/fast');
    await page.getByLabel('Longest blackout').fill('2s');
    await page.getByLabel('Keep the source').check();
    await press('Plan');
    await eventually(focused).toBe('The plan: web');
    const files = page.getByRole('list', { name: 'Files' }).getByRole('listitem');
    expect(await files.allTextContents()).toEqual(['/slow/web.vhdxto /fast/web.vhdxvhdxd0, 4.00 GiB']);
    expect(await page.locator('.numbers-of > div').allTextContents()).toEqual([
      ...['Predicted blackout1.4 s', 'At least1.4 s', 'Limit2.0 s'],
    ]);
    await press('Start');
    await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
    expect(page.url()).toContain(`#/migrations/${FAKE_MIGRATION}`);
    const asked = { vm: machine(1, 'web').vm.id, paths: { folder: '/fast' }, keepSource: true, maxBlackoutMs: 2000 };
    expect(migrations.asked).toEqual([asked, { start: asked }]);
  });

  test('each disk may go to a folder of its own, on another host, and the blackout may wait', async () => {
    const { migrations } = dashboard;
    await whereTo('mail');
    await page.getByLabel('Target host').selectOption(PEER);
    await page.getByRole('radio', { name: 'A folder for each disk' }).check();
    await page.getByLabel('Folder for d0').fill('/images/mail');
    await page.getByLabel('Folder for d1').fill('/logs/mail');
    await page.getByLabel('Prepare only').check();
    await press('Plan');
    await press('Prepare');
    await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
    const paths = { disks: { d0: '/images/mail', d1: '/logs/mail' } };
    const asked = { vm: machine(2, 'mail').vm.id, paths, keepSource: false, to: PEER };
    expect(migrations.asked).toEqual([asked, { prepare: asked }]);
  });

  test('what is missing or cannot be read is said beside its field, which gets the focus', async () => {
    await goTo(page, '#/migrations/new');
    await page.getByRole('radio', { name: 'web' }).waitFor();
    await press('Next');
    await alert('Choose a machine first.');
    await whereTo('web');
    const folder = page.getByLabel('Folder', { exact: true });
    await press('Plan');
    await alert('Say a folder.');
    expect(await folder.evaluate((one) => one === document.activeElement)).toBe(true);
    await folder.fill('fast');
    await press('Plan');
    await alert('with a slash at first');
    await folder.fill('/fast');
    expect(await folder.getAttribute('aria-invalid')).toBeNull();
    await page.getByLabel('Longest blackout').fill('2 parsecs');
    await press('Plan');
    await alert('cannot read "2 parsecs" as a time');
    expect(await page.getByLabel('Longest blackout').getAttribute('aria-invalid')).toBe('true');
    expect(dashboard.migrations.asked).toEqual([]);
  });

  test('what the service refuses is said beside the field that it is about, or the button', async () => {
    const { migrations } = dashboard;
    await whereTo('web');
    await page.getByLabel('Folder', { exact: true }).fill('/slow');
    migrations.refusal = new TransferError('E_USAGE', '/slow/web.vhdx is there already: web cannot be migrated so');
    await press('Plan');
    await page.locator('.field', { hasText: 'Folder' }).getByText('is there already').waitFor();
    migrations.refusal = new TransferError('E_NO_VM', 'this host knows no such machine');
    await press('Plan');
    await alert('This host knows no such machine.');
    await page.getByLabel('Target host').selectOption(PEER);
    migrations.refusal = new TransferError('E_NETWORK', 'vault.example.org:7421 does not answer');
    await press('Plan');
    await page.locator('.field', { hasText: 'Target host' }).getByText('does not answer').waitFor();
    await page.getByLabel('Target host').selectOption('local');
    await page.getByLabel('Folder', { exact: true }).fill('/fast');
    await press('Plan');
    migrations.refusal = new TransferError('E_MIGRATION_STATE', 'another migration moves web already', {
      hint: 'Let it finish, or abort it.',
    });
    await press('Start');
    await alert('Another migration moves web already. Let it finish, or abort it.');
    expect(migrations.asked.filter((one) => 'start' in one)).toEqual([]);
    expect(opened.complaints.splice(0).filter((text) => !/status of (400|404|409|50\d)/.test(text))).toEqual([]);
  });

  test('a plan with something in the way cannot be started, and is made again when that is mended', async () => {
    const { migrations } = dashboard;
    await whereTo('web');
    await page.getByLabel('Folder', { exact: true }).fill('/fast');
    migrations.problems = ['This host has no KVM.'];
    await press('Plan');
    await eventually(focused).toBe('It cannot begin: web');
    await page.getByRole('group', { name: 'In the way' }).getByText('This host has no KVM.').waitFor();
    expect(await page.getByRole('button', { name: 'Start' }).isVisible()).toBe(false);
    migrations.problems = [];
    await press('Plan again');
    await page.getByRole('button', { name: 'Start' }).waitFor();
    // What was typed is there when one goes back.
    await press('Back');
    expect(await page.getByLabel('Folder', { exact: true }).inputValue()).toBe('/fast');
  });

  test('machines that cannot be moved now say why, and many are found by name', async () => {
    const { machines, migrations } = dashboard;
    migrations.views = [movingView(1, 'copy-bases', { vm: machine(1, 'web').vm.id })];
    const gone = { ...machine(4, 'files'), ownership: { state: 'gone', migration: 'm', to: PEER } } as const;
    machines.machines = [machine(1, 'web'), machine(2, 'mail', 1, 'io-error'), gone];
    await goTo(page, '#/migrations/new');
    for (const why of ['It is being moved already', 'It stands still after an I/O error', `it was given to ${PEER}`]) {
      await page.getByText(why.replace('It ', 'It cannot be moved now: it ')).waitFor();
    }
    expect(await page.getByRole('radio').and(page.locator(':enabled')).count()).toBe(0);
    machines.machines = Array.from({ length: 300 }, (_none, at) => machine(at, `desktop-${at}`));
    await press('Look again');
    await page.getByText('300 machines; the first 100 are shown').waitFor();
    await page.getByLabel('Find').fill('desktop-27');
    await eventually(() => page.getByRole('radio').count()).toBe(11);
    machines.machines = [];
    await press('Look again');
    await page.getByText('This host knows no machine yet').waitFor();
    machines.refusal = new TransferError('E_STORE', 'owner.json is damaged');
    await press('Look again');
    await alert('owner.json is damaged');
    refusedWith(500);
  });

  test('migrations appear, get on and wait with their reasons as the service tells it, without a reload', async () => {
    const { migrations } = dashboard;
    await goTo(page, '#/migrations');
    const row = page.locator('.migration').filter({ has: page.getByRole('link', { name: 'web' }) });
    const queued = '10 migrations run, and 10 may at once (migrations_at_once); it is the next';
    migrations.put(movingView(1, 'check', { state: 'queued', reason: queued }));
    await row.getByText(queued).waitFor();
    await page.getByRole('heading', { name: 'Waiting' }).waitFor();
    const copying = movingView(1, 'copy-bases', { bytesDone: 0, bytesTotal: 8 * GIB });
    migrations.put(copying);
    await page.getByRole('heading', { name: 'Moving' }).waitFor();
    await row.getByText('Step 4 of 14: copy-bases').waitFor();
    migrations.put(copying, { state: 'progress', bytesDone: 2 * GIB, bytesTotal: 8 * GIB });
    await row.getByText('25 % · 2.00 GiB of 8.00 GiB').waitFor();
    expect(await row.getByRole('progressbar').getAttribute('value')).toBe(((3 + 0.25) / 14).toFixed(4));
    const { prediction } = FAKE_PREVIEW;
    const done = { state: 'done', reason: 'web is at the target', prediction, blackoutMs: 1250 } as const;
    migrations.put(movingView(1, undefined, done), { step: 'release', state: 'done' });
    await row.getByText('Stood still for 1.3 s; 1.4 s predicted').waitFor();
    await eventually(() => page.locator('#announcer').textContent()).toBe('web: moved.');
  });

  test('when the service was away, what happened meanwhile is there when it is back', async () => {
    const { migrations, control } = dashboard;
    const view = movingView(1, 'copy-bases');
    migrations.views = [view];
    await openOne(view.id);
    await page.locator('.steps .now', { hasText: 'copy-bases' }).waitFor();
    await control.server.close();
    await page.getByText('Not connected').waitFor();
    migrations.views = [movingView(1, 'merge', { switchedOver: true })];
    await control.restart();
    await page.locator('.steps .now', { hasText: 'merge' }).waitFor();
    migrations.put(movingView(1, 'release', { switchedOver: true }));
    await page.locator('.steps .now', { hasText: 'release' }).waitFor();
    opened.complaints.length = 0;
  });
});
