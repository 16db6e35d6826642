import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { browserAvailable, type OpenPage, openPage } from '../support/browser.js';
import { ALICE, type Dashboard, eventually, GiB, goTo, makeJob, startDashboard } from '../support/dashboard.js';

describe.skipIf(!browserAvailable())('the page of the service (needs chromium)', () => {
  let dashboard: Dashboard;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    dashboard = await startDashboard();
    opened = await dashboard.open();
    page = opened.page;
  });
  afterAll(() => dashboard?.stop());
  afterEach(() => {
    expect(opened.elsewhere).toEqual([]);
    expect(opened.complaints.splice(0)).toEqual([]);
  });

  /** A browser complains of each answer that is an error, also of those that are expected. */
  const refusedWith = (status: number): void => {
    expect(opened.complaints.splice(0).filter((text) => !text.includes(`status of ${status}`))).toEqual([]);
  };
  const open = (path = '#/jobs') => goTo(page, path);
  const state = (id: string) => dashboard.control.service.get(id, ALICE).state;
  const becomes = (id: string, wanted: string) => eventually(() => state(id)).toBe(wanted);

  test('it asks for a token, refuses a wrong one, and lets in who has a right one', async () => {
    const other = await openPage(dashboard.browser, dashboard.control.url);
    await other.page.getByLabel('Token').fill('bft_wrong');
    await other.page.keyboard.press('Enter');
    await other.page.getByRole('alert').getByText('does not know this token').waitFor();
    await other.page.getByLabel('Token').fill(dashboard.token);
    await other.page.getByRole('button', { name: 'Sign in' }).click();
    await other.page.getByRole('heading', { name: 'Jobs' }).waitFor();
    expect(await other.page.getByText('alice').isVisible()).toBe(true);
    await other.page.reload();
    await other.page.getByRole('heading', { name: 'Jobs' }).waitFor();
    await other.page.getByRole('button', { name: 'Sign out' }).click();
    await other.page.getByLabel('Token').waitFor();
    expect(other.complaints.every((text) => text.includes('status of 401'))).toBe(true);
    await other.page.context().close();
  });

  test('a token in the address is used and taken out of it, and no script can read what is kept', async () => {
    expect(page.url()).not.toContain('bft_');
    expect(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }))).toBe(
      '{}',
    );
  });

  test('a job is suspended, resumed and completed with the buttons of its row', async () => {
    const { id } = await makeJob(dashboard.control, 'mail server');
    await open();
    await page.getByRole('button', { name: 'Suspend mail server' }).click();
    await becomes(id, 'suspended');
    await page.getByRole('button', { name: 'Resume mail server' }).click();
    await becomes(id, 'queued');
    dashboard.control.service.move(id, 'transferred');
    await page.getByRole('button', { name: 'Complete mail server' }).click();
    await becomes(id, 'acknowledged');
    await page.getByRole('heading', { name: 'Acknowledged' }).waitFor();
  });

  test('a job is cancelled after a question, and what was copied is kept or not as was answered', async () => {
    const { service } = dashboard.control;
    const [kept, gone] = [await makeJob(dashboard.control, 'kept'), await makeJob(dashboard.control, 'gone')];
    for (const { id } of [kept, gone]) service.copied(id, { bytes: 1_000_000 });
    await open();
    await page.getByRole('button', { name: 'Cancel kept' }).click();
    await page.getByRole('button', { name: 'Keep the job' }).click();
    expect(state(kept.id)).toBe('queued');
    await page.getByRole('button', { name: 'Cancel kept' }).click();
    await page.getByRole('button', { name: 'Cancel and keep it' }).click();
    await becomes(kept.id, 'cancelled');
    expect(service.get(kept.id, ALICE).reason).toContain('is kept');
    await page.getByRole('button', { name: 'Cancel gone' }).click();
    await page.getByRole('button', { name: 'Cancel and delete it' }).click();
    await becomes(gone.id, 'cancelled');
    expect(service.get(gone.id, ALICE).reason).toContain('is deleted');
  });

  test('priority, limit and completion are changed on the page of a job', async () => {
    const { id } = await makeJob(dashboard.control, 'settings');
    const job = () => dashboard.control.service.get(id, ALICE);
    await open(`#/job/${id}`);
    await page.getByLabel('Priority').selectOption('High');
    await eventually(() => job().priority).toBe('high');
    await page.getByLabel('Limit').fill('50 parsecs');
    await page.getByRole('button', { name: 'Set limit' }).click();
    await page.getByRole('alert').getByText('cannot read "50 parsecs" as a rate').waitFor();
    expect(job().limitBytesPerSecond).toBe(0);
    await page.getByLabel('Limit').fill('50 MiB');
    await page.keyboard.press('Enter');
    await eventually(() => job().limitBytesPerSecond).toBe(50 * 1024 * 1024);
    await page.getByLabel('Complete by itself').check();
    await eventually(() => job().autoComplete).toBe(true);
  });

  test('a job gets another file on its page, as long as it is not over', async () => {
    const { id } = await makeJob(dashboard.control, 'growing');
    const files = () => dashboard.control.service.get(id, ALICE).files.map(({ source, target }) => [source, target]);
    await open(`#/job/${id}`);
    await page.getByLabel('Source', { exact: true }).fill('/vm/more.vhdx');
    await page.getByLabel('Target', { exact: true }).fill('/vault/more.vhdx');
    await page.getByRole('button', { name: 'Add file' }).click();
    await page.getByRole('heading', { name: 'Files: 2' }).waitFor();
    expect(files().at(-1)).toEqual(['/vm/more.vhdx', '/vault/more.vhdx']);
    expect(await page.getByLabel('Source', { exact: true }).inputValue()).toBe('');
    await dashboard.control.service.cancel(id, { keepPartial: false }, ALICE);
    await page.getByRole('button', { name: 'Add file' }).waitFor({ state: 'hidden' });
  });

  test('a job that is not transferred is completed only after a question that says what is let go of', async () => {
    const { id } = await makeJob(dashboard.control, 'early', {}, 3);
    await open(`#/job/${id}`);
    await page.getByRole('button', { name: 'Complete now' }).click();
    await page.getByText('the other 3 are let go of').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Complete now' }).click();
    await becomes(id, 'acknowledged');
  });

  test('a new job has what was asked for', async () => {
    await open('#/new');
    await page.getByLabel('Source', { exact: true }).fill('/vm/a.vhdx');
    await page.getByLabel('Target', { exact: true }).fill('sftp://vault/a.vhdx');
    await page.getByRole('button', { name: 'Another file' }).click();
    await page.getByLabel('Source 2').fill('/vm/b.vhdx');
    await page.getByLabel('Target 2').fill('sftp://vault/b.vhdx');
    await page.getByLabel('Name', { exact: true }).fill('two disks');
    await page.getByLabel('Priority').selectOption('Low');
    await page.getByLabel('Limit').fill('8MiB');
    await page.getByLabel('Start suspended').check();
    await page.getByRole('button', { name: 'Create job' }).click();
    await page.getByRole('heading', { name: 'two disks' }).waitFor();
    const id = page.url().split('/').at(-1) ?? '';
    const job = dashboard.control.service.get(id, ALICE);
    expect(job).toMatchObject({ name: 'two disks', priority: 'low', state: 'suspended', autoComplete: true });
    expect(job.limitBytesPerSecond).toBe(8 * 1024 * 1024);
    expect(job.files.map(({ source, target }) => [source, target])).toEqual([
      ['/vm/a.vhdx', 'sftp://vault/a.vhdx'],
      ['/vm/b.vhdx', 'sftp://vault/b.vhdx'],
    ]);
  });

  test('jobs that finished are listed while they are asked for', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'finished long ago');
    await service.cancel(id, { keepPartial: false }, ALICE);
    await open();
    const job = page.getByRole('link', { name: 'finished long ago' });
    await page.getByLabel('Finished jobs too').check();
    await job.waitFor();
    await page.getByLabel('Finished jobs too').uncheck();
    await eventually(() => job.count()).toBe(0);
  });

  test('what the service refuses is shown with what to do next, and the button can be pressed again', async () => {
    const { service } = dashboard.control;
    const { id } = await makeJob(dashboard.control, 'refused');
    await open();
    service.suspend = async () => {
      throw new TransferError('E_JOB_STATE', 'this job takes no suspend', { hint: 'It takes: cancel.' });
    };
    await page.getByRole('button', { name: 'Suspend refused' }).click();
    await page.getByRole('alert').getByText('This job takes no suspend. It takes: cancel.').waitFor();
    Reflect.deleteProperty(service, 'suspend');
    await page.getByRole('button', { name: 'Suspend refused' }).click();
    await becomes(id, 'suspended');
    await eventually(() => page.getByRole('alert').count()).toBe(0);
    refusedWith(409);
  });

  test('a policy that is wrong is refused at its line, and a right one is kept', async () => {
    const { service } = dashboard.control;
    await open('#/policy');
    const text = page.getByLabel('Text of the policy');
    await text.fill('jobs-at-once = 7\n\njobs-at-once = = 3\n');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('alert').getByText('Line 3, column').waitFor();
    await page.getByRole('alert').getByText('3 │ jobs-at-once = = 3').waitFor();
    const chosen = await text.evaluate((area: HTMLTextAreaElement) =>
      area.value.slice(area.selectionStart, area.selectionEnd),
    );
    expect(chosen).toBe('jobs-at-once = = 3');
    expect(service.policy.jobsAtOnce).toBe(4);
    await text.fill('jobs-at-once = 7\n');
    await page.getByRole('button', { name: 'Save' }).click();
    await eventually(() => service.policy.jobsAtOnce).toBe(7);
    await eventually(() => page.getByRole('alert').count()).toBe(0);
    refusedWith(422);
  });

  test('the windows of the policy are drawn on a week, and told in words', async () => {
    await open('#/policy');
    await page.getByText('Monday to Friday, 08:00 to 18:00 (Europe/Berlin): all at most 95.4 MiB/s').waitFor();
    expect(await page.locator('svg.week rect.window-0').count()).toBe(5);
    expect(await page.locator('svg.week rect.maintenance').count()).toBe(2);
  });

  test('whoever is no administrator sees the policy and cannot change it', async () => {
    const token = await dashboard.control.token('bob', 'jobs');
    const bobs = await openPage(dashboard.browser, `${dashboard.control.url}/#token=${token}`);
    await bobs.page.getByRole('link', { name: 'Policy' }).click();
    await bobs.page.getByText('Only an administrator may change it.').waitFor();
    expect(await bobs.page.getByLabel('Text of the policy').isEditable()).toBe(false);
    expect(bobs.complaints).toEqual([]);
    await bobs.page.context().close();
  });

  test('what looks like markup in a name, a reason or a location is text', async () => {
    const { service } = dashboard.control;
    const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp;';
    const { id } = await service.create({ name: evil, files: [{ source: `/${evil}`, target: `/t${evil}` }] }, ALICE);
    service.move(id, 'error', { reason: evil, error: { code: 'E_NETWORK', message: evil } });
    service.explain(id, { sentence: evil, rule: evil, behind: [evil], hint: evil });
    await open();
    await page.getByRole('link', { name: evil }).click();
    await page.getByRole('heading', { name: evil }).waitFor();
    await page.getByText(`/t${evil}`, { exact: true }).waitFor();
    expect(await page.locator('main img, main script').count()).toBe(0);
    expect(await page.title()).toContain('<img');
  });

  test('migrations have a place of their own as soon as there is one', async () => {
    await open();
    const link = page.getByRole('link', { name: 'Migrations' });
    expect(await link.isVisible()).toBe(false);
    await makeJob(dashboard.control, 'move web-01', { kind: 'migration' });
    await link.click();
    await page.getByRole('heading', { name: 'Migrations' }).waitFor();
    await page.getByRole('link', { name: 'move web-01' }).waitFor();
    expect(await page.locator('.job').count()).toBe(1);
  });

  test('a link to a job that is not there says so', async () => {
    await open('#/job/none');
    await page.getByText('There is no job none').waitFor();
    refusedWith(404);
  });

  test('a link that was cut in the middle says so too', async () => {
    await open('#/job/%e2%8');
    await page.getByRole('heading', { name: 'Not found' }).waitFor();
    refusedWith(404);
  });

  test('a job with many files shows some, and more when asked', async () => {
    const { id } = await makeJob(dashboard.control, 'many', {}, 150);
    dashboard.control.service.copied(id, { bytes: GiB, file: 3 });
    await open(`#/job/${id}`);
    await page.getByRole('heading', { name: 'Files: 150' }).waitFor();
    expect(await page.locator('.files li').count()).toBe(100);
    await page.getByRole('button', { name: 'Show 50 more' }).click();
    await eventually(() => page.locator('.files li').count()).toBe(150);
  });
});
